from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_a_rate_is_suggested_and_nothing_is_saved(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    result = mlptrain("lr-find", tiny)
    assert result.code == 0 and "learning_rate=" in result.out and "\x1b" not in result.out
    assert not (tmp_path / "runs").exists()


def test_json_holds_the_rates_and_losses(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("lr-find", tiny, "--json", "-q", "--steps", 30, "loss=mse")
    values = json.loads(result.out)
    assert set(values) == {"suggestion", "stopped", "rates", "losses", "smoothed"}
    assert len(values["rates"]) == len(values["losses"]) == len(values["smoothed"]) <= 30
    assert result.err == ""


def test_without_a_config_the_quickstart_is_tested(mlptrain: Command) -> None:
    first, second = (
        mlptrain("lr-find", *config, "subset=200", "--steps", 5, "--json").out for config in ([], ["quickstart"])
    )
    assert json.loads(first) == json.loads(second)


def test_wrong_inputs_are_exit_2_or_3(mlptrain: Command, tiny: Path) -> None:
    assert mlptrain("lr-find", "nowhere.yaml").code == 2
    assert mlptrain("lr-find", tiny, "--steps", 1).code == 2
    assert mlptrain("lr-find", tiny, "dataset=mnist").code == 3
