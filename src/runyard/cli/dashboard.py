"""`runyard dashboard`: a web page of what MLflow has, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.runs import mlflow_uri
from runyard.errors import RunyardError


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
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Show runs, compare and explain them, on a web page. It changes nothing.

    Exit codes: 0 it was ended with Ctrl-C; 2 there is no MLflow in the folder, the port is taken, or what it needs is
    not installed.
    """
    uri = mlflow_uri(store, tracking_uri)
    try:
        from runyard.dashboard.server import serve
    except ModuleNotFoundError as error:
        raise NotInstalled(f"the dashboard needs {error.name}: pip install 'runyard[dashboard]'") from error
    serve(uri, host, port, base.rstrip("/"), allowed or [])
