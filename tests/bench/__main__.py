"""Measure, print a table, and leave all figures as JSON: `python -m tests.bench --help`."""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.bed import Bed, bed
from tests.bench.footprint import footprints, sweep
from tests.bench.life import lives
from tests.bench.speed import burst, steady

Figures = dict[str, Any]
OWN = Path(sys.executable).parent / "runyard-operator"
_LIMIT_SECONDS = 3600.0
_READY_WITHIN_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """What to measure, of which operators, and how much of it."""

    operators: dict[str, Path]
    subjects: list[str]
    rounds: int
    burst: int
    steady: int
    per_second: float
    finished: list[int]
    idle_seconds: float
    swept: int
    lives: int


def main() -> int:
    """Measure what the command line asks for; return 1 where it is not as it has to be on any machine."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--operator",
        action="append",
        metavar="LABEL=PROGRAM",
        help="an operator to measure; several take turns, and are compared with the first",
    )
    parser.add_argument("--only", action="append", choices=list(_SUBJECTS), dest="subjects")
    parser.add_argument("--rounds", type=int, default=3, help="of bursts and of the steady load")
    parser.add_argument("--burst", type=int, default=1000, help="resources in a burst")
    parser.add_argument("--steady", type=int, default=200, help="resources at a steady rate")
    parser.add_argument("--per-second", type=float, default=10.0, help="that rate")
    parser.add_argument("--finished", default="0,1000,5000", help="numbers of finished resources, growing")
    parser.add_argument("--idle-seconds", type=float, default=5.0, help="how long to watch an idle operator")
    parser.add_argument("--swept", type=int, default=5000, help="finished resources, each with its run, to sweep over")
    parser.add_argument("--lives", type=int, default=5, help="trainings of each kind led from beginning to end")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"))
    given = parser.parse_args()
    plan = Plan(
        operators={
            label: Path(program) for label, _, program in (entry.partition("=") for entry in given.operator or [])
        }
        or {"operator": OWN},
        subjects=given.subjects or list(_SUBJECTS),
        rounds=given.rounds,
        burst=given.burst,
        steady=given.steady,
        per_second=given.per_second,
        finished=[int(number) for number in given.finished.split(",")],
        idle_seconds=given.idle_seconds,
        swept=given.swept,
        lives=given.lives,
    )
    found = asyncio.run(measure(plan))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(found, indent=2) + "\n")
    wrong = list(problems(found))
    print("\n".join([*report(found), *wrong]))  # noqa: T201 the table is what this is for
    return 1 if wrong else 0


async def measure(plan: Plan) -> dict[str, Any]:
    """Return all figures: by subject, then by operator, one entry a round."""
    found: dict[str, Any] = {"cores": os.cpu_count()}
    async with asyncio.timeout(_LIMIT_SECONDS), bed() as made:
        for subject in plan.subjects:
            found[subject] = await _SUBJECTS[subject](made, plan)
    return found


async def _in_turns(plan: Plan, measured: Callable[[Path], Awaitable[Figures]]) -> dict[str, list[Figures]]:
    """Let the operators take turns, each first as often as last, so that what drifts drifts for all."""
    found: dict[str, list[Figures]] = {label: [] for label in plan.operators}
    for turn in range(plan.rounds):
        for label in list(plan.operators)[:: -1 if turn % 2 else 1]:
            found[label].append(await measured(plan.operators[label]))
    return found


async def _bursts(made: Bed, plan: Plan) -> dict[str, list[Figures]]:
    return await _in_turns(plan, lambda program: burst(made, program, plan.burst))


async def _steadies(made: Bed, plan: Plan) -> dict[str, list[Figures]]:
    return await _in_turns(plan, lambda program: steady(made, program, plan.steady, plan.per_second))


async def _finished(made: Bed, plan: Plan) -> dict[str, list[Figures]]:
    return {
        label: await footprints(made, program, plan.finished, plan.idle_seconds)
        for label, program in plan.operators.items()
    }


async def _sweeps(made: Bed, plan: Plan) -> dict[str, list[Figures]]:
    return {label: [await sweep(made, program, plan.swept)] for label, program in plan.operators.items()}


async def _lives(made: Bed, plan: Plan) -> dict[str, list[Figures]]:
    return {label: await lives(made, program, plan.lives) for label, program in plan.operators.items()}


_SUBJECTS = {"burst": _bursts, "steady": _steadies, "finished": _finished, "sweep": _sweeps, "life": _lives}
# Subjects whose entries are different things, each named by this figure, and not one thing again.
_NAMED_BY = {"finished": "finished", "life": "life"}


def problems(found: dict[str, Any]) -> Iterable[str]:
    """Return a sentence for each thing that no machine excuses: a slow start, writes where nothing is to be done."""
    for subject in ("finished", "sweep"):
        for label, entries in found.get(subject, {}).items():
            for entry in entries:
                what = f"{label} beside {entry['finished']} finished resources"
                if (seconds := entry.get("ready_seconds", 0)) > _READY_WITHIN_SECONDS:
                    yield f"{what}: ready after {seconds:.1f} s, not within {_READY_WITHIN_SECONDS:.0f} s"
                if number := entry["writes_for_finished"]:
                    yield f"{what}: {number} writes for what has finished, not 0"


def report(found: dict[str, Any]) -> Iterable[str]:
    """Return the table: medians over the rounds with their range, and what they are to the first operator's."""
    yield f"{found['cores']} cores; medians [least, most]; in parentheses: as a multiple of the first operator's"
    for subject, by_operator in found.items():
        if subject == "cores":
            continue
        first = next(iter(by_operator))
        for label, rounds in by_operator.items():
            name = _NAMED_BY.get(subject)
            for index, group in enumerate([[entry] for entry in rounds] if name else [rounds]):
                title = f"{subject} {rounds[index][name]}" if name else subject
                yield ""
                yield f"{title}: {label}"
                base = by_operator[first][index : index + 1] if name else by_operator[first]
                yield from _lines(group, base if label != first else None)


def _lines(rounds: list[Figures], base: list[Figures] | None) -> Iterable[str]:
    for name, value in rounds[0].items():
        if name in _NAMED_BY.values():
            continue
        if isinstance(value, dict):
            yield f"  {name:28} " + ", ".join(f"{what} {count}" for what, count in value.items())
            continue
        values = [entry[name] for entry in rounds]
        line = f"  {name:28} {statistics.median(values):10.2f}"
        if len(values) > 1:
            line += f"  [{min(values):.2f}, {max(values):.2f}]"
        if base and (before := statistics.median(entry[name] for entry in base)):
            line += f"  ({statistics.median(values) / before:.2f})"
        yield line


if __name__ == "__main__":
    sys.exit(main())
