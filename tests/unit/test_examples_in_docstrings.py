"""What docstrings say that something returns, it returns."""

import doctest
import importlib
from pathlib import Path

import pytest

import runyard
import runyard_operator

EXAMPLE = ">>> "


def modules() -> list[str]:
    """Name the installed modules that have an example."""
    found = []
    for package in (runyard, runyard_operator):
        for root in map(Path, package.__path__):
            for file in sorted(root.rglob("*.py")):
                if EXAMPLE in file.read_text():
                    parts = file.relative_to(root).with_suffix("").parts
                    found.append(".".join((package.__name__, *(part for part in parts if part != "__init__"))))
    return found


@pytest.mark.parametrize("name", modules())
def test_examples_hold(name: str) -> None:
    told: list[str] = []
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(verbose=False)
    for example in doctest.DocTestFinder().find(module, name):
        runner.run(example, out=told.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)
    assert runner.tries > 0


def test_there_are_some() -> None:
    assert {"runyard.dashboard.noise", "runyard.api.direction", "runyard.audit.measures"} <= set(modules())
