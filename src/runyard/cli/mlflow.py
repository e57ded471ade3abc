"""Which MLflow a command means: a server, or the embedded one of a folder."""

import os
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_STORE = Path(".runyard")

StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of the embedded MLflow.", show_default=str(DEFAULT_STORE))
]
TrackingOption = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri",
        help="An MLflow server, in place of the embedded one.",
        show_default="$MLFLOW_TRACKING_URI, unless --store is given",
    ),
]


def chosen_mlflow(store: Path | None, tracking_uri: str | None) -> Path | str:
    """Return a server's address, or a store's folder: what was asked for wins over what the environment says."""
    if store and tracking_uri:
        raise typer.BadParameter("give --store or --tracking-uri, not both")
    if tracking_uri or store:
        return tracking_uri or store or DEFAULT_STORE
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
