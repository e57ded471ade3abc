"""What fails is told at once: a run of half an hour that is cut short would otherwise keep it to itself."""

import pytest


class _AtOnce:
    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED {report.nodeid} ({report.when})")
            for line in [line for line in report.longreprtext.splitlines() if line.startswith("E ")][:40]:
                self._terminal.write_line(f"  {line[:400]}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    # A process that runs tests for another, as xdist's do, has none: the other tells.
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        config.pluginmanager.register(_AtOnce(terminal))
