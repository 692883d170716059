"""Command ``mlptrain download``."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from mlptrain.cli.options import DataDir, Json, NoColor, Quiet
from mlptrain.cli.setup import print_result
from mlptrain.config import registry
from mlptrain.config.messages import enumerate_words, hint
from mlptrain.config.registry import DatasetInfo
from mlptrain.datasets.dataset import data_folder
from mlptrain.datasets.download import checked_mirror, copy_from, fetch, mirrors_of
from mlptrain.datasets.verify import FileState, check_dataset
from mlptrain.errors import DataError, UsageError
from mlptrain.reporting.download import checked_line, make_download_reporter
from mlptrain.system.text import shell_word, write_lines

ALL = "all"


def download(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help=f"Dataset to download: {', '.join(registry.DATASETS)} or {ALL}.")
    ] = "mnist",
    mirror: Annotated[str | None, typer.Option("--mirror", help="Address to try first.", metavar="URL")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Copy the files from this folder instead.", metavar="DIR")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the files without downloading; exit with code 3 if any is bad.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Download verified files again.")] = False,
    data_dir: DataDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Download the files of a dataset and verify them.

    Example: mlptrain download fashion-mnist
    """
    infos = _chosen(dataset)
    _check_options(mirror=mirror, source=source, check=check, force=force)
    if mirror is not None:
        checked_mirror(mirror)
    folder = data_folder(data_dir)
    option = "" if folder == data_folder() else f" --data-dir {shell_word(str(folder))}"
    human = sys.stderr if json_output else sys.stdout
    states: list[FileState] = []
    faults: list[str] = []
    with closing(make_download_reporter(human, quiet=quiet, no_color=no_color)) as transfers:
        for info in infos:
            try:
                if check:
                    found = check_dataset(info, folder)
                    for state in found:
                        transfers.show(state)
                elif source is not None:
                    found = copy_from(info, folder, source, force=force, on_event=transfers.show)
                else:
                    found = fetch(info, folder, mirrors_of(info, mirror), force=force, on_event=transfers.show)
            except DataError as error:
                transfers.close()
                faults.append(str(error))
                continue
            states += found
            bad = sum(not state.good for state in found)
            if bad:
                faults.append(
                    f"{folder / info.name}: {bad} of {len(found)} files missing or damaged\n"
                    f"hint: run `mlptrain download {info.name}{option}`"
                )
            elif not quiet:
                done = checked_line(info.title, len(found), str(folder / info.name))
                write_lines(human, done, *_next_lines(info, option))
    if json_output and (check or not faults):
        print_result(json.dumps({"data_dir": str(folder), "files": [_as_json(state) for state in states]}))
    if faults:
        raise DataError("\n".join(faults))


def _chosen(name: str) -> list[DatasetInfo]:
    """Return the dataset of a name, or all datasets."""
    if name == ALL:
        return list(registry.DATASETS.values())
    if name in registry.DATASETS:
        return [registry.DATASETS[name]]
    if name == registry.SAMPLE:
        raise UsageError(f"{name}: part of mlptrain, needs no download\nhint: set `dataset: {name}` in a config")
    choices = [*registry.DATASETS, ALL]
    raise UsageError(f"{name!r}: unknown dataset{hint(name, choices)}\nexpected {enumerate_words(choices, 'or')}")


def _check_options(*, mirror: str | None, source: Path | None, check: bool, force: bool) -> None:
    given = {"--check": check, "--from": source is not None, "--mirror": mirror is not None, "--force": force}
    for option, others in (("--check", ("--from", "--mirror", "--force")), ("--from", ("--mirror",))):
        other = next((other for other in others if given[option] and given[other]), None)
        if other is not None:
            raise UsageError(f"{option}: cannot be combined with {other}")


def _next_lines(info: DatasetInfo, option: str) -> list[str]:
    chosen = "" if info.name == "mnist" else f" dataset={info.name}"
    return [f"by {info.attribution}; {info.licence}", f"next: mlptrain train mnist{chosen}{option}"]


def _as_json(state: FileState) -> dict[str, str | int | None]:
    return {
        "dataset": state.dataset,
        "file": state.file.name,
        "status": state.status,
        "bytes": state.bytes,
        "path": str(state.path),
        "mirror": state.source,
    }
