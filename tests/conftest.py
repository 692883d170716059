from __future__ import annotations

import signal

import pytest


def obey_signals() -> None:
    """Take back what ``nohup`` or a shell's ``&`` had the tests ignore, or else what they start ignores it too."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_DFL),
        (getattr(signal, "SIGHUP", None), signal.SIG_DFL),
    ):
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_configure(config: pytest.Config) -> None:
    """Signals count; coverage is demanded of the whole suite only: a few tests alone cannot reach it."""
    obey_signals()
    plugin = config.pluginmanager.getplugin("_cov")
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and not (
        config.option.keyword or config.option.markexpr or config.option.deselect
    )
    if plugin is not None and not whole:
        plugin.options.cov_fail_under = 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """After the shuffle the longest test comes first, so that no worker waits for another to end it."""
    items.sort(key=lambda item: item.name != "test_code_blocks_run")
