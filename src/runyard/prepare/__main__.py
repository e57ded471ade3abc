"""Fetch what the variable RUNYARD_PREPARE asks for, and report on it in one line of JSON.

Ends with 0 when all is there, 1 where it may go better later, 2 where it would be so again.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from runyard.api.preparation import (
    DATASETS,
    PREPARED,
    SOURCE,
    TRY_AGAIN,
    WANTED_VARIABLE,
    WOULD_BE_SO_AGAIN,
    Failure,
    Report,
    Wanted,
)
from runyard.api.source import ResolvedSource
from runyard.prepare import data, git
from runyard.prepare.failures import Unprepared

# A server that is started anew is back by then, and no attempt is lost.
_PAUSES_SECONDS = (2.0, 8.0)
_TERMINATED_CODE = 143

_Found = TypeVar("_Found")


def main() -> int:
    """Fetch, report, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runyard.prepare", description=__doc__)
    parser.add_argument("--into", type=Path, required=True, help="folder for the source and the datasets")
    parser.add_argument("--report", type=Path, required=True, help="file for the report")
    parser.add_argument("--credentials", type=Path, help="folder of a Secret's files, to sign in to git with")
    given = parser.parse_args()
    # The first process of a container is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED_CODE))
    # The training may run as another user, and write beside its code.
    os.umask(0)
    wanted = Wanted.model_validate_json(os.environ[WANTED_VARIABLE])
    report, code = prepare(wanted, given.into, given.credentials)
    given.report.write_text(report.model_dump_json(by_alias=True, exclude_none=True), encoding="utf-8")
    return code


def prepare(
    wanted: Wanted, into: Path, credentials: Path | None = None, pauses_seconds: Sequence[float] = _PAUSES_SECONDS
) -> tuple[Report, int]:
    """Fetch the source, then the datasets; return what came of it, and the exit code."""
    source: ResolvedSource | None = None
    datasets = []
    try:
        if wanted.source:
            step = partial(git.fetch, wanted.source, into / SOURCE, credentials, os.environ)
            source = _insisting(step, pauses_seconds)
            _say(f"source: {source.git} at commit {source.commit}")
        for dataset in wanted.datasets:
            datasets.append(_insisting(partial(data.fetch, dataset, into / DATASETS), pauses_seconds))
            _say(f"dataset {dataset.name}: {data.without_query(dataset.uri)} with {datasets[-1].digest}")
    except Unprepared as error:
        _say(f"{error.reason}: {error}")
        failure = Failure(reason=error.reason, message=str(error))
        return Report(source=source, failure=failure), WOULD_BE_SO_AGAIN if error.is_permanent else TRY_AGAIN
    return Report(source=source, datasets=datasets), PREPARED


def _insisting(step: Callable[[], _Found], pauses_seconds: Sequence[float]) -> _Found:
    """Take a step, and again after each pause, unless it would fail again."""
    for pause in pauses_seconds:
        try:
            return step()
        except Unprepared as error:
            if error.is_permanent:
                raise
            _say(f"{error}; trying again in {pause:.0f} s")
            time.sleep(pause)
    return step()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
