"""`runyard dashboard`: a web page of what MLflow has, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runyard.cli.cluster import ContextOption
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.runs import mlflow_uri
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from runyard.dashboard.trainings import Trainings


class NotInstalled(RunyardError):
    """What the dashboard needs is not there."""

    exit_code = 2


def dashboard(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where it listens; 0: where it can.")] = 8090,
    host: Annotated[str, typer.Option("--host", help="The address that it listens at.")] = "127.0.0.1",
    base: Annotated[str, typer.Option("--base-path", help="The path below which it is, such as /runs.")] = "",
    allowed: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host", help="A name that it may be called by; may be repeated.", show_default="localhost"
        ),
    ] = None,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Also show the TrainingRuns of a cluster, as they go.")
    ] = False,
    context: ContextOption = None,
    namespaces: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", help="Only those of this namespace; may be repeated.", show_default="all"),
    ] = None,
    may_change: Annotated[
        bool,
        typer.Option("--allow-changes", help="Let who looks cancel and retry trainings, and promote models."),
    ] = False,
    patience: Annotated[
        float,
        typer.Option("--patience", min=0.1, max=60, help="How many seconds a page waits for MLflow."),
    ] = 1.5,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Show runs, compare and explain them, on a web page. It changes nothing unless told that it may.

    Exit codes: 0 it was ended with Ctrl-C; 2 there is no MLflow in the folder, the port is taken, or what it needs is
    not installed; 4 there is no cluster to talk to.
    """
    uri = mlflow_uri(store, tracking_uri)
    try:
        from runyard.dashboard.server import serve
        from runyard.dashboard.site import Site
    except ModuleNotFoundError as error:
        raise NotInstalled(f"the dashboard needs {error.name}: pip install 'runyard[dashboard]'") from error
    trainings = _trainings(context, namespaces or []) if cluster else None
    serve(
        Site(uri, trainings, may_change=may_change, patience_seconds=patience),
        host,
        port,
        base.rstrip("/"),
        allowed or [],
    )


def _trainings(context: str | None, namespaces: list[str]) -> Trainings:
    from runyard.cluster import Cluster
    from runyard.dashboard.trainings import Trainings

    return Trainings(Cluster(context), namespaces)
