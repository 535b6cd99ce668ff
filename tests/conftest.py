"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from fault_runs import SharedCluster
from fault_table import FILE_VARIABLE, TABLE, Fault, lines_of, write

# Shared machines stall: how long an example takes says nothing about the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Output does not depend on who runs the tests: no colour forced, help texts of one width."""
    for name in ("FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERMINAL_WIDTH", "160")


@pytest.fixture
def fault_table(request: pytest.FixtureRequest) -> list[Fault]:
    """Where tests of faults note what they saw; printed when all tests are over."""
    return request.config.stash.setdefault(TABLE, [])


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Orders to the worlds of the cluster that tests of faults share."""
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(scope="session")
def fault_cluster(orders: Path) -> Iterator[SharedCluster]:
    """The cluster that tests of faults share."""
    shared = SharedCluster(orders)
    yield shared
    shared.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of faults, and write it where the environment names a file."""
    faults = config.stash.get(TABLE, [])
    if not faults:
        return
    terminalreporter.section("faults")
    for line in lines_of(faults):
        terminalreporter.write_line(line)
    if os.environ.get(FILE_VARIABLE):
        write(faults, Path(os.environ[FILE_VARIABLE]))
