"""How long the truth took in each row: noted by the tests, and written into docs/fault-matrix.md.

`python -m tests.cluster.matrix` runs the cluster's tests three times in a row and rewrites the figures there; what it
does not know itself it hands on to pytest.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).parents[2]
NOTES = _ROOT / "build" / "fault-matrix.jsonl"
DOCUMENT = _ROOT / "docs" / "fault-matrix.md"
JOB_END = "Job's end to outcome"
# An outage of the platform itself is in these times, or two cores that start two hundred pods.
_OTHER_CLOCKS = ("test_outages", "test_burst", "operator")
_BEGIN, _END = "<!-- figures: make matrix -->\n", "<!-- end of figures -->\n"


class Note(NamedTuple):
    """One time that was measured."""

    test: str
    what: str
    seconds: float


def note(what: str, seconds: float) -> None:
    """Keep a time that the test that runs just now has measured."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0].removeprefix("tests/cluster/")
    NOTES.parent.mkdir(exist_ok=True)
    with NOTES.open("a") as file:
        file.write(json.dumps({"test": test, "what": what, "seconds": round(seconds, 3)}) + "\n")


def percentile(values: list[float], share: float) -> float:
    """Return the least value that so great a share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(notes: list[Note], rounds: int) -> str:
    """Return the figures as they stand in the document."""
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    for found in notes:
        rows[found.test, found.what] += [found.seconds]
    lines = [
        *_summary(notes, rounds),
        "",
        "| test | from … to | measured | median, s | worst, s |",
        "|---|---|---|---|---|",
    ]
    for (test, what), seconds in sorted(rows.items()):
        median, worst = statistics.median(seconds), max(seconds)
        lines.append(f"| {test.replace('::test_', ': ')} | {what} | {len(seconds)} | {median:.2f} | {worst:.2f} |")
    return "\n".join(lines) + "\n"


def _summary(notes: list[Note], rounds: int) -> list[str]:
    ends = [found for found in notes if found.what == JOB_END]
    calm = [found.seconds for found in ends if not any(part in found.test for part in _OTHER_CLOCKS)]
    burst = [found.seconds for found in ends if found.test.startswith("test_burst")]
    groups = {"without a fault of the platform": calm, "200 at once": burst}
    times = "1 round" if rounds == 1 else f"{rounds} rounds in a row"
    return [
        f"{times}. From a Job's end to the resource's outcome, both as one client saw them:",
        *(
            f"- {name}: {len(found)} trainings, p50 {percentile(found, 0.5):.2f} s, "
            f"p99 {percentile(found, 0.99):.2f} s, worst {max(found):.2f} s"
            for name, found in groups.items()
            if found
        ),
    ]


def read() -> list[Note]:
    """Return all that was noted."""
    entries: list[dict[str, Any]] = [json.loads(line) for line in NOTES.read_text().splitlines()]
    return [Note(**entry) for entry in entries]


def rewrite(document: str, figures: str) -> str:
    """Return the document with other figures."""
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + figures + _END + after


def main() -> int:
    """Run the rounds, and write the figures down where all of them were green."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.matrix", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    given, others = parser.parse_known_args()
    NOTES.unlink(missing_ok=True)
    for number in range(given.rounds):
        # The long outage is shown once.
        environment = os.environ | ({} if number else {"RUNYARD_OUTAGE_SECONDS": "300"})
        command = [sys.executable, "-m", "pytest", "tests/cluster", *others]
        done = subprocess.run(command, cwd=_ROOT, env=environment, check=False)
        if done.returncode:
            return done.returncode
    DOCUMENT.write_text(rewrite(DOCUMENT.read_text(), table(read(), given.rounds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
