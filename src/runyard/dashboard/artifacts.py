"""What scripts left among a run's artifacts: tables, and SHAP values. Anybody may have written it."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from runyard.api.model import JsonObject, as_object
from runyard.dashboard.runs import cut
from runyard.explanation import Explanation
from runyard.history import UnreadableArtifact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runyard.dashboard.reads import Reads
    from runyard.history import History, LoggedRun

FOLDER = "evaluation"
_LARGEST_TABLE = 4 * 1024 * 1024
_LARGEST_EXPLANATION = 64 * 1024 * 1024
_MOST_CELLS = 200_000
_KEPT_BYTES = 128 * 1024 * 1024
# A table of Python's numbers and texts takes about this much more memory than its text.
_UNPACKED = 4
# The column of each table that names its rows: "007" is no number, and neither is the class 1000001.
_NAMES = {
    "shap_rows": "row",
    "roc_curve": "class",
    "pr_curve": "class",
    "calibration": "class",
    "confusion_matrix": "true",
    "feature_importance": "feature",
    "permutation_importance": "feature",
}
_OF_GROUPS = ("fairness_", "thresholds_")

Cell: TypeAlias = float | str | None
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A table that was logged: numbers where a cell is one, else texts; None where it is empty."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, name: str) -> list[Cell]:
        """Return a column; an empty one where there is none."""
        if name not in self.columns:
            return []
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    @classmethod
    def read(cls, content: bytes, names: str = "") -> Table:
        """Read a CSV.

        Args:
            content: of the file.
            names: the column whose cells are names, as they are written, whatever they look like.

        Raises:
            ValueError: it has rows of other lengths than its head, or too many cells.

        """
        lines = csv.reader(io.StringIO(content.decode(), newline=""))
        head = next(lines, None)
        if not head:
            raise ValueError("no table")
        named = head.index(names) if names in head else -1
        head = list(map(cut, head))
        rows: list[tuple[Cell, ...]] = []
        for line in lines:
            if len(line) != len(head):
                raise ValueError("a row is of another length")
            if (len(rows) + 1) * len(head) > _MOST_CELLS:
                raise ValueError(f"more than {_MOST_CELLS} cells")
            rows.append(tuple(cut(cell) if place == named else _cell(cell) for place, cell in enumerate(line)))
        return cls(tuple(head), tuple(rows))


def names_of_tables(files: Sequence[str]) -> list[str]:
    """Return the names of the tables among a run's artifacts that an evaluation logged."""
    found = [path.removeprefix(f"{FOLDER}/") for path in files if path.startswith(f"{FOLDER}/")]
    return [name.removesuffix(".csv") for name in found if name.endswith(".csv") and "/" not in name]


class Artifacts:
    """Reads what evaluations logged. What belongs to runs that have ended is kept, up to 128 MiB."""

    def __init__(self, history: History, reads: Reads) -> None:
        """Begin with nothing kept."""
        self._history = history
        self._reads = reads
        self._kept: OrderedDict[tuple[str, str], tuple[object, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def abouts(self, runs: Sequence[LoggedRun]) -> list[JsonObject]:
        """Return what each run's evaluation says of itself; empty where there is none.

        Raises:
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer in time.

        """
        return self._of_each(runs, "evaluation.json", _about, {})

    def tables(self, runs: Sequence[LoggedRun], name: str) -> list[Table | None]:
        """Return a table of each run; None where there is none, or none that can be read.

        Raises:
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer in time.

        """
        names = "group" if name.startswith(_OF_GROUPS) else _NAMES.get(name, "")
        return self._of_each(runs, f"{name}.csv", partial(Table.read, names=names), None)

    def explanation(self, run: LoggedRun) -> Explanation | None:
        """Return the SHAP values of a run; None where it has none.

        Raises:
            EvaluationImpossible: what is there is something else.
            UnreadableArtifact: it is too large.
            TrackingUnavailable: MLflow, or the store of its artifacts, does not answer in time.

        """
        name = "shap.npz"
        if kept := self._known((run.id, name)):
            return cast("Explanation", kept[0])
        read = partial(self._read, run, name, _explanation, _LARGEST_EXPLANATION)
        return self._reads.one((run.id, name), read)

    def _of_each(self, runs: Sequence[LoggedRun], name: str, parse: Callable[[bytes], T], otherwise: T) -> list[T]:
        def read(run: LoggedRun) -> T:
            try:
                found = self._read(run, name, parse, _LARGEST_TABLE)
            except (UnreadableArtifact, ValueError, csv.Error, RecursionError):
                return otherwise  # anybody may have written it
            return otherwise if found is None else found

        # What is kept waits for nobody.
        found = {run.id: kept[0] for run in runs if (kept := self._known((run.id, name)))}
        missing = [run for run in runs if run.id not in found]
        answers = self._reads.all([((run.id, name), partial(read, run)) for run in missing])
        found |= {run.id: answer for run, answer in zip(missing, answers, strict=True)}
        return [cast("T", found[run.id]) for run in runs]  # by the same name, it was parsed as the same

    def _read(self, run: LoggedRun, name: str, parse: Callable[[bytes], T], most_bytes: int) -> T | None:
        content = self._history.content(run, f"{FOLDER}/{name}", most_bytes)
        if content is None:
            return None
        found = parse(content)
        # What an open run has logged may be logged again.
        if not run.status.is_open:
            self._keep(
                (run.id, name), found, found.nbytes if isinstance(found, Explanation) else _UNPACKED * len(content)
            )
        return found

    def _known(self, key: tuple[str, str]) -> tuple[object] | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return (self._kept[key][0],)

    def _keep(self, key: tuple[str, str], found: object, size: int) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = (found, size)
            self._bytes += size
            while self._bytes > _KEPT_BYTES:
                _, (_, freed) = self._kept.popitem(last=False)
                self._bytes -= freed


def _explanation(content: bytes) -> Explanation:
    found = Explanation.from_bytes(content)
    # A figure has a name as often as it has points.
    features, outputs, rows = (list(map(cut, names)) for names in (found.features, found.output_names, found.rows))
    return replace(found, features=features, output_names=outputs, rows=rows)


def _about(content: bytes) -> JsonObject:
    return as_object(json.loads(content))


def _cell(text: str) -> Cell:
    if not text:
        return None
    if "_" in text:  # a group such as 20_29, which Python reads as 2029
        return cut(text)
    try:
        return float(text)
    except ValueError:
        return cut(text)
