"""`runyard dashboard`: a web page of what MLflow has, on this machine."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from runyard.api.addresses import without_logins
from runyard.cli.cluster import ContextOption
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.runs import mlflow_uri
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from runyard.dashboard.accounts import Accounts
    from runyard.dashboard.trainings import Trainings


class WrongAddress(RunyardError):
    """What should be an address of a web page is none."""

    exit_code = 2


class NoCluster(RunyardError):
    """There is nobody to ask who looks."""

    exit_code = 2


class AuthMode(StrEnum):
    """By whose rights people see what there is."""

    SERVER = "server"
    CLIENT = "client"


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
    auth_mode: Annotated[
        AuthMode,
        typer.Option(
            "--auth-mode",
            help="server: all see what who runs it may. client: each signs in with a token of the cluster.",
        ),
    ] = AuthMode.SERVER,
    patience: Annotated[
        float,
        typer.Option("--patience", min=0.1, max=60, help="How many seconds a page waits for MLflow."),
    ] = 1.5,
    mlflow_url: Annotated[
        str | None,
        typer.Option(
            "--mlflow-url",
            help="Where people open MLflow's own pages; empty: nowhere.",
            show_default="--tracking-uri, where that is http",
        ),
    ] = None,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Show runs, compare and explain them, on a web page. It changes nothing unless told that it may.

    Exit codes: 0 it was ended with Ctrl-C; 2 there is no MLflow in the folder, the port is taken, an address is none,
    --auth-mode client has no --cluster, or what it needs is not installed; 4 there is no cluster to talk to.
    """
    uri = mlflow_uri(store, tracking_uri)
    opened = opened_at(uri, mlflow_url)
    try:
        from runyard.dashboard.server import serve
        from runyard.dashboard.site import Site
    except ModuleNotFoundError as error:
        raise NotInstalled(f"the dashboard needs {error.name}: pip install 'runyard[dashboard]'") from error
    asks = auth_mode is AuthMode.CLIENT
    if asks and not cluster:
        raise NoCluster("--auth-mode client asks the cluster who looks, and what they may: give --cluster too")
    trainings, accounts = _of_cluster(context, namespaces or [], asks=asks) if cluster else (None, None)
    serve(
        Site(uri, trainings, may_change=may_change, patience_seconds=patience, mlflow_url=opened, accounts=accounts),
        host,
        port,
        base.rstrip("/"),
        allowed or [],
    )


def opened_at(tracking_uri: str, given: str | None) -> str:
    """Return where people open MLflow's own pages, without a slash at its end; empty where nobody knows.

    Raises:
        WrongAddress: what is given is no address of a web page.

    >>> opened_at("http://ada:secret@mlflow:5000/", None), opened_at("sqlite:///mlflow.db", None)
    ('http://mlflow:5000', '')
    >>> opened_at("http://mlflow:5000", ""), opened_at("sqlite:///mlflow.db", "https://mlflow.example/ml/")
    ('', 'https://mlflow.example/ml')
    """
    address = tracking_uri if given is None else given
    try:
        split = urlsplit(address)
        is_web = split.scheme in {"http", "https"} and bool(split.hostname) and not (split.query or split.fragment)
    except ValueError:
        is_web = False
    if not is_web and given:
        raise WrongAddress(
            f"--mlflow-url {given}: this is no address of a page: give one such as https://mlflow.example"
        )
    return without_logins(address).rstrip("/") if is_web else ""


def _of_cluster(context: str | None, namespaces: list[str], *, asks: bool) -> tuple[Trainings, Accounts | None]:
    from runyard.cluster import Cluster
    from runyard.dashboard.accounts import Accounts
    from runyard.dashboard.trainings import Trainings

    cluster = Cluster(context)
    return Trainings(cluster, namespaces), Accounts(cluster) if asks else None
