"""The table of docs/fault-matrix.md: the tests that it names are there, and no test of the cluster is without a row."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.matrix import DOCUMENT

_TESTS = Path(__file__).parents[1]
_HEADER = "| fault | outcome | cluster | API server | model |"
_NAME = re.compile(r"`(?:(?P<folder>\w+)/)?(?P<module>\w+)::(?P<function>\w+)`")
# Where a test is whose name says no folder.
_CLUSTER, _API_SERVER, _MODEL = "cluster", "operator", "unit"


class Named(NamedTuple):
    """A test as the document names it."""

    folder: str
    module: str
    function: str


def _rows() -> list[list[str]]:
    _, _, below = DOCUMENT.read_text().partition(f"{_HEADER}\n|---|---|---|---|---|\n")
    table, _, _ = below.partition("\n\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def _named(text: str, folder: str) -> Iterator[Named]:
    for found in _NAME.finditer(text):
        yield Named(found["folder"] or folder, found["module"], found["function"])


def _shown_by(row: list[str]) -> list[Named]:
    _, _, cluster, api_server, model = row
    return [*_named(cluster, _CLUSTER), *_named(api_server, _API_SERVER), *_named(model, _MODEL)]


def _tests_of(file: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (node for node in ast.parse(file.read_text()).body if isinstance(node, kinds))
    return {node.name.removeprefix("test_") for node in found if node.name.startswith("test_")}


_ROWS = {row[0]: row for row in _rows()}


def test_the_table_is_read() -> None:
    assert _ROWS
    assert len(_ROWS) == len(_rows()), "no fault is there twice"
    assert {len(row) for row in _ROWS.values()} == {5}


@pytest.mark.parametrize("fault", _ROWS)
def test_each_fault_is_shown_by_tests_that_there_are(fault: str) -> None:
    shown_by, by_model = _shown_by(_ROWS[fault]), _ROWS[fault][4]
    assert shown_by or by_model
    for named in shown_by:
        [file] = (_TESTS / named.folder).rglob(f"test_{named.module}.py")
        assert named.function in _tests_of(file), f"{named.module}::{named.function}"


def test_cells_name_tests_and_make_no_other_claim() -> None:
    ticked = [fault for fault, row in _ROWS.items() if "✓" in row[2] + row[3]]
    assert ticked == []


def test_a_row_without_a_test_of_the_cluster_says_why() -> None:
    cells = {fault: row[2] for fault, row in _ROWS.items() if not list(_named(row[2], _CLUSTER))}
    assert {fault for fault, cell in cells.items() if not cell.startswith("not at will: ")} == set()


def test_each_test_of_the_cluster_is_in_the_document() -> None:
    before_the_figures, _, _ = DOCUMENT.read_text().partition("## Time to truth")
    outside = "\n".join(line for line in before_the_figures.splitlines() if not line.startswith("|"))
    named = {*_named(outside, _CLUSTER), *(found for row in _ROWS.values() for found in _named(row[2], _CLUSTER))}
    there_are = {
        Named(_CLUSTER, file.stem.removeprefix("test_"), function)
        for file in (_TESTS / _CLUSTER).glob("test_*.py")
        for function in _tests_of(file)
    }
    assert named == there_are
