"""`runyard sweep`: many trainings on this machine, and which is the best."""

import sys
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from runyard import local, manifest, sweep
from runyard.api.model import JsonObject
from runyard.api.outcome import Phase
from runyard.api.parameters import text_of
from runyard.api.sweep_assembly import trial_name
from runyard.api.sweeping import Trial, ranked
from runyard.api.trainingsweep import TrainingSweep
from runyard.cli.mlflow import DEFAULT_STORE, StoreOption, TrackingOption, chosen_mlflow
from runyard.cli.output import Output, emit, number, plain, table

_MOST_ROWS = 20


def run_sweep(
    file: Annotated[Path, typer.Argument(help="A manifest with one TrainingSweep.", show_default=False)],
    parallel: Annotated[
        int | None,
        typer.Option("--parallel", "-p", min=1, max=256, help="Trials at a time.", show_default="spec.parallelism"),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin it again, and leave what there is of it alone.")] = False,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    output: Annotated[
        Output,
        typer.Option("--output", "-o", help="text: each trial as it ends, a table; or the sweep and its trials."),
    ] = Output.TEXT,
) -> None:
    """Try a training with many parameters on this machine, and say which are the best.

    A sweep that was interrupted, even killed, goes on with the same command: what has ended is not begun again.
    Exit codes: 0 the sweep succeeded, 1 it failed, 2 the manifest is wrong or needs a cluster, 4 MLflow does not
    answer, 130 it was interrupted.
    """
    wanted = manifest.read_sweep(file)
    chosen = chosen_mlflow(store, tracking_uri)
    tracking: local.Tracking = local.Server(chosen) if isinstance(chosen, str) else local.Embedded(chosen.absolute())
    studies = chosen if isinstance(chosen, Path) else DEFAULT_STORE
    options = sweep.Options(file.absolute().parent, tracking, parallel, studies, new)
    with _Watched(wanted) as watched:
        found = sweep.run(wanted, options, watched.told)
    body = {
        **found.sweep.to_json(),
        "trials": [_as_data(found.sweep, trial) for _, trial in sorted(found.trials.items())],
    }
    emit(output, body, lambda console: _summarise(console, found))
    raise typer.Exit(0 if found.sweep.status.phase is Phase.SUCCEEDED else 1)


class _Watched:
    """How far a sweep is: a bar on a terminal, a line for each trial elsewhere."""

    def __init__(self, wanted: TrainingSweep) -> None:
        self._metric = wanted.spec.objective.metric
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task: TaskID = self._bar.add_task(plain(wanted.metadata.name), total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def told(self, found: TrainingSweep, trial: Trial | None) -> None:
        tally = found.status.trials
        if tally is None:
            return
        ended = tally.succeeded + tally.failed + tally.pruned
        self._bar.update(self._task, completed=ended, total=tally.total)
        if trial is None and ended:
            self._say(f"{found.status.progress} trials have ended before; the others go on")
        if trial:
            value = f" {self._metric}={number(trial.value)}" if trial.value is not None else ""
            why = f": {trial.message}" if trial.message else ""
            self._say(f"{trial_name(found, trial.index)} {trial.state}{value}{why} ({found.status.progress})")

    def _say(self, text: str) -> None:
        self._console.print(plain(text), soft_wrap=True)
        sys.stderr.flush()


def _as_data(found: TrainingSweep, trial: Trial) -> JsonObject:
    return {
        "name": trial_name(found, trial.index),
        "index": trial.index,
        "state": trial.state.value,
        "value": trial.value,
        "parameters": dict(trial.parameters),
        "runId": trial.run_id,
        "message": trial.message,
    }


def _summarise(console: Console, finished: sweep.Finished) -> None:
    found, status = finished.sweep, finished.sweep.status
    metric, names = found.spec.objective.metric, [*found.spec.parameters]
    order = ranked(finished.trials.values(), found.spec.objective.wanted)
    rows = [
        (
            trial_name(found, trial.index),
            trial.state.value,
            number(trial.value),
            *(text_of(trial.parameters.get(name, "")) for name in names),
            trial.run_id or "",
        )
        for trial in order[:_MOST_ROWS]
    ]
    console.print(table(("TRIAL", "STATE", metric, *names, "RUN"), rows, numbers=(metric,)))
    if len(order) > _MOST_ROWS:
        console.print(f"… and {len(order) - _MOST_ROWS} more, in -o json")
    tally = status.trials
    if tally:
        counted = f"{tally.succeeded} succeeded, {tally.failed} failed, {tally.pruned} pruned"
        console.print(f"\n{plain(found.metadata.name)}: {status.phase} in {status.duration}: {counted}")
    if status.message:
        console.print(plain(status.message), soft_wrap=True)
    if status.best:
        tried = ", ".join(f"{name}={value}" for name, value in status.best.parameters.items())
        console.print(plain(f"Best: {status.best.trial}, {metric}={status.best.value}, {tried}"), soft_wrap=True)
