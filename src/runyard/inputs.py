"""Source and datasets on this machine: the program that fetches them in a pod, as a process."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runyard.api import preparation
from runyard.api.model import JsonObject
from runyard.api.outcome import Outcome, Reason
from runyard.api.preparation import Report, Wanted
from runyard.api.trainingrun import TrainingRunSpec
from runyard.process import End, execute, last_line


@dataclass(frozen=True)
class Fetched:
    """What came of it."""

    report: Report
    log: bytes
    end: End | None
    """Why the training cannot begin; None where it can."""
    may_be_tried_again: bool


def fetch(
    wanted: Wanted,
    folder: Path,
    variables: Mapping[str, str],
    ends_at: float | None,
    echo: Callable[[bytes], None],
) -> Fetched:
    """Fetch into a folder.

    Args:
        wanted: what is to be fetched.
        folder: an empty folder of the attempt's own.
        variables: the whole environment.
        ends_at: the moment, in seconds since the epoch, at which it is given up; None: never.
        echo: is given the output as it comes.

    """
    report_file = folder / "report.json"
    # Without -P the folder itself would be a place for Python's modules.
    command = [sys.executable, "-P", "-m", preparation.MODULE, "--into", str(folder), "--report", str(report_file)]
    asked = {preparation.WANTED_VARIABLE: wanted.model_dump_json(by_alias=True, exclude_none=True)}
    end, log = execute(command, folder, {**variables, **asked}, ends_at, echo)
    told = preparation.read_report(report_file.read_text(encoding="utf-8")) if report_file.exists() else None
    report = told or Report()
    if end.outcome is Outcome.SUCCEEDED:
        return Fetched(report, log, None, may_be_tried_again=False)
    is_own = end.outcome is Outcome.FAILED and end.reason is Reason.ERROR
    reason = report.failure.reason if is_own and report.failure else end.reason
    message = report.failure.message if is_own and report.failure else end.message or last_line(log)
    again = is_own and end.exit_code != preparation.WOULD_BE_SO_AGAIN
    # The exit code of an attempt is its training's.
    return Fetched(report, log, End(end.outcome, reason, None, message), may_be_tried_again=again)


def starting_folder(spec: TrainingRunSpec, container: JsonObject, inputs: Path) -> Path | None:
    """Return where a command starts among what was fetched; None where there is no source."""
    folder = preparation.working_folder(spec, inputs)
    asked = PurePosixPath(str(container.get("workingDir", "")))
    in_pod = PurePosixPath(preparation.FOLDER) / preparation.SOURCE
    if folder and asked.is_relative_to(in_pod):
        return inputs / preparation.SOURCE / asked.relative_to(in_pod)
    return Path(folder) if folder else None
