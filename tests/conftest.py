from __future__ import annotations

import os
import signal

import pytest


def obey_signals() -> None:
    """Handle the signals that ``nohup`` or a shell's ``&`` ignores; subprocesses of the tests would inherit that."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (getattr(signal, "SIGHUP", None), signal.SIG_DFL),
    ):
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Require coverage of the whole suite only, because a few tests cannot reach it; protect the user's files."""
    obey_signals()
    os.environ.pop("GITHUB_STEP_SUMMARY", None)  # `mlptrain train` would add to it
    os.environ["XDG_DATA_HOME"] = os.devnull  # nothing can be written there
    plugin = config.pluginmanager.getplugin("_cov")
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr or config.option.deselect
    )
    if plugin is not None and not whole:
        plugin.options.cov_fail_under = 0


COVERED_ELSEWHERE = (
    *("reporting/test_gallery.py", "reporting/test_page.py", "runs/test_resume.py"),
    *("training/test_stack.py", "training/test_trainer_stacks.py"),
)
"""Modules of tests in which coverage is not measured: others cover the same code, and measuring doubles the time."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Move the longest test to the front after the shuffle, so that no worker waits for it at the end."""
    measured = config.pluginmanager.hasplugin("_cov") and not config.option.no_cov  # pytest-cov fails otherwise
    for item in items:
        if measured and item.path.as_posix().endswith(COVERED_ELSEWHERE):
            item.add_marker(pytest.mark.no_cover)
    items.sort(key=lambda item: item.name != "test_code_blocks_run")
