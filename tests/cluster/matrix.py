"""How long the truth took in each row: noted by the tests, and written into docs/fault-matrix.md.

`python -m tests.cluster.matrix` runs the cluster's tests three times in a row and rewrites the figures there. What it
does not know itself it hands on to pytest; the figures of fewer rounds, or of chosen tests, are only printed. It fails
with a test, and where all rounds together are not good enough.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).parents[2]
NOTES = _ROOT / "build" / "fault-matrix.jsonl"
DOCUMENT = _ROOT / "docs" / "fault-matrix.md"
JOB_END = "Job's end to outcome"
CALM, AT_ONCE = "without a fault of the platform", "begun 200 at once"
# What p99 of each group of trainings stays below.
LIMITS_SECONDS = {CALM: 3.0, AT_ONCE: 20.0}
TO_OUTCOME = " to outcome"
# What every other time to an outcome stays below, such as that from an obstacle's end: three times the longest that was
# measured. The operator's rounds by which it finds what no event told, and its longest pause, are minutes.
OTHERS_LIMIT_SECONDS = 45.0
_BURST = "test_burst.py::test_two_hundred_at_once"
# Rows whose times hold more than the operator's own part, and what that is. Every other row is calm.
OTHER_CLOCKS = {
    _BURST: "two cores start two hundred pods",
    "test_outcomes.py::test_the_operator_gone_for_a_while": "nobody is there when the Job ends",
    "test_outcomes.py::test_the_operator_killed_in_the_middle": "the operator may be away when the Job ends",
    "test_outages.py::test_operator_killed_again_and_again": "the operator may be away when the Job ends",
    "test_crashes.py::test_operator_killed_after_each_action": "the operator may be away when the Job ends",
    "test_outages.py::test_two_operators_and_the_one_that_leads_is_killed": "nobody may lead when the Job ends",
    "test_outages.py::test_pods_that_came_and_went_while_the_operator_was_away": "nobody is there when the Job ends",
    "test_outages.py::test_api_server_restarted": "the API server is away, for whoever looks too",
    "test_outages.py::test_mlflow_down_at_the_start_in_the_middle_and_at_the_end": "MLflow is away",
    "test_outages.py::test_postgres_restarted": "MLflow is away with its database",
    "test_outages.py::test_minio_down": "MLflow's artifacts are away",
}
_ROUNDS = 3
# What a commit's name ends with where the tree is not quite of it.
_CHANGED = "-dirty"
_BEGIN, _END = "<!-- figures: make matrix -->\n", "<!-- end of figures -->\n"


class Note(NamedTuple):
    """One time that was measured."""

    test: str
    what: str
    seconds: float


class MemoryKill(NamedTuple):
    """What the kubelet said of one process that was killed for its memory."""

    test: str
    said: str


def note(what: str, seconds: float) -> None:
    """Keep a time that the test that runs just now has measured."""
    _write({"what": what, "seconds": round(seconds, 3)})


def note_memory_kill(said: str) -> None:
    """Keep what the kubelet said of a memory kill in the test that runs just now."""
    _write({"said": said})


def _write(entry: dict[str, Any]) -> None:
    # A test's name, which may have spaces, and the phase that it is in.
    test, _, _ = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("a") as file:
        file.write(json.dumps({"test": test.removeprefix("tests/cluster/"), **entry}) + "\n")


def percentile(values: list[float], share: float) -> float:
    """Return the least value that so great a share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def grouped(notes: list[Note]) -> dict[str, list[float]]:
    """Return the times from a Job's end to its outcome that are held to a limit, by its name."""
    rows = [(found.test.partition("[")[0], found.seconds) for found in notes if found.what == JOB_END]
    return {
        CALM: [seconds for row, seconds in rows if row not in OTHER_CLOCKS],
        AT_ONCE: [seconds for row, seconds in rows if row == _BURST],
    }


def verdict(notes: list[Note], kills: list[MemoryKill]) -> list[str]:
    """Return a sentence for each thing that is wrong with what was noted."""
    groups = grouped(notes)
    unmeasured = [f"No time from a Job's end to its outcome was measured {CALM}."] if not groups[CALM] else []
    late = [
        f"The truth took too long: p99 of {len(found)} trainings {name} is {percentile(found, 0.99):.2f} s, "
        f"and has to be below {LIMITS_SECONDS[name]:.0f} s."
        for name, found in groups.items()
        if found and percentile(found, 0.99) >= LIMITS_SECONDS[name]
    ]
    others = [
        f"The truth took too long: {found.test}, {found.what}, took {found.seconds:.2f} s, "
        f"and has to be below {OTHERS_LIMIT_SECONDS:.0f} s."
        for found in notes
        if found.what.endswith(TO_OUTCOME) and found.what != JOB_END and found.seconds >= OTHERS_LIMIT_SECONDS
    ]
    # A row that took "Error" for an answer each time has not shown what it is there for.
    unsaid = {kill.test for kill in kills} - {kill.test for kill in kills if kill.said == "OOMKilled"}
    return [
        *unmeasured,
        *late,
        *others,
        *(f"In no round did the kubelet say OOMKilled in {test}: it is not shown." for test in sorted(unsaid)),
    ]


def table(notes: list[Note], kills: list[MemoryKill], rounds: int, minutes: float, commit: str) -> str:
    """Return the figures of a commit as they stand in the document."""
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    for found in notes:
        rows[found.test, found.what] += [found.seconds]
    lines = [
        *_summary(notes, kills, f"{rounds} round{'s in a row' if rounds > 1 else ''} of {commit}", minutes),
        "",
        "| test | from … to | measured | median, s | worst, s |",
        "|---|---|---|---|---|",
    ]
    for (test, what), seconds in sorted(rows.items()):
        median, worst = statistics.median(seconds), max(seconds)
        lines.append(f"| {test.replace('::test_', ': ')} | {what} | {len(seconds)} | {median:.2f} | {worst:.2f} |")
    return "\n".join(lines) + "\n"


def _summary(notes: list[Note], kills: list[MemoryKill], times: str, minutes: float) -> list[str]:
    said = sum(kill.said == "OOMKilled" for kill in kills)
    return [
        f"{times}, {minutes:.0f} min in all. From a Job's end to the resource's outcome, both as one client saw them:",
        *(
            f"- {name}: {len(found)} trainings, p50 {percentile(found, 0.5):.2f} s, "
            f"p99 {percentile(found, 0.99):.2f} s, worst {max(found):.2f} s"
            for name, found in grouped(notes).items()
            if found
        ),
        *(["", f"Of {len(kills)} memory kills the kubelet called {said} OOMKilled."] if kills else []),
    ]


def read() -> tuple[list[Note], list[MemoryKill]]:
    """Return all that was noted."""
    text = NOTES.read_text() if NOTES.exists() else ""
    entries: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    return (
        [Note(**entry) for entry in entries if "seconds" in entry],
        [MemoryKill(**entry) for entry in entries if "said" in entry],
    )


def rewrite(document: str, figures: str) -> str:
    """Return the document with other figures."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + figures + _END + after


def commit_of(root: Path) -> str:
    """Return which commit a tree is of, and whether anything in it was changed since."""
    command = ["git", "describe", "--always", f"--dirty={_CHANGED}", "--exclude=*"]
    return subprocess.check_output(command, cwd=root, text=True).strip()


def why_not_published(rounds: int, handed_on: list[str], addopts: str, commit: str) -> str | None:
    """Return why the figures of such a call are not a commit's in all rows, three times in a row; None where they are.

    `commit` is as `commit_of` tells it.
    """
    if handed_on or addopts:
        where = " ".join(handed_on) if handed_on else f"PYTEST_ADDOPTS={addopts}"
        return f"pytest was told {where}, which may leave rows out"
    if rounds < _ROUNDS:
        return f"there are to be {_ROUNDS} rounds, and this was {rounds}"
    if commit.endswith(_CHANGED):
        return f"the tree is {commit}, and nobody can have it again: commit what was changed first"
    return None


def publish(figures: str, why_not: str | None) -> None:
    """Write the figures into the document, or print them where they are not to stand there."""
    if why_not is None:
        DOCUMENT.write_text(rewrite(DOCUMENT.read_text(), figures))
        print(f"The figures are in {DOCUMENT}.")  # noqa: T201 the program's own word
        return
    print(f"{figures}\n{DOCUMENT} is left as it was: {why_not}.")  # noqa: T201 the program's own word


def main() -> int:
    """Run the rounds, and write the figures down where all of them were green; then judge the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.matrix", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    given, others = parser.parse_known_args()
    commit = commit_of(_ROOT)
    why_not = why_not_published(given.rounds, others, os.environ.get("PYTEST_ADDOPTS", ""), commit)
    NOTES.unlink(missing_ok=True)
    begun = time.monotonic()
    environment = {"RUNYARD_OUTAGE_SECONDS": "300", **os.environ}
    command = [sys.executable, "-m", "pytest", "tests/cluster", "--ignore=tests/cluster/commands", *others]
    for _ in range(given.rounds):
        done = subprocess.run(command, cwd=_ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    notes, kills = read()
    minutes = (time.monotonic() - begun) / 60
    publish(table(notes, kills, given.rounds, minutes, commit), why_not)
    problems = verdict(notes, kills)
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201 the program's own word
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
