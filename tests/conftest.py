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
    """Require coverage of the whole suite only, because a few tests cannot reach it; protect the user's data folder."""
    obey_signals()
    os.environ["XDG_DATA_HOME"] = os.devnull  # nothing can be written there
    plugin = config.pluginmanager.getplugin("_cov")
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr or config.option.deselect
    )
    if plugin is not None and not whole:
        plugin.options.cov_fail_under = 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the longest test to the front after the shuffle, so that no worker waits for it at the end."""
    items.sort(key=lambda item: item.name != "test_code_blocks_run")
