"""The command line: `runyard …`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from runyard.cli import cluster, promotion, runs
from runyard.cli.audit import audit
from runyard.cli.compare import compare
from runyard.cli.dashboard import dashboard
from runyard.cli.diff import diff
from runyard.cli.doctor import doctor
from runyard.cli.output import plain
from runyard.cli.reproduce import reproduce
from runyard.cli.run import run
from runyard.cli.serve import serve
from runyard.cli.sweep import run_sweep
from runyard.errors import RunyardError

# kubectl runs a program of this name for `kubectl runyard`.
_PLUGIN = "kubectl-runyard"

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False)
app.command()(run)
app.command("sweep")(run_sweep)
app.command("list")(runs.list_runs)
app.command()(runs.show)
app.command()(runs.best)
app.command()(compare)
app.command()(diff)
app.command()(reproduce)
app.command()(audit)
app.command()(promotion.promote)
app.command()(promotion.rollback)
app.command()(promotion.promotions)
app.command()(serve)
app.command()(dashboard)
app.command()(cluster.submit)
app.command()(cluster.wait)
app.command()(cluster.logs)
app.command()(doctor)


def _version(wanted: bool) -> None:  # noqa: FBT001 typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"runyard {version('runyard')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tracked training: run it, and know what truly came of it."""


def main() -> None:
    """Run the command; an error is one sentence on standard error and an exit code."""
    try:
        app(prog_name="kubectl runyard" if Path(sys.argv[0]).name == _PLUGIN else "runyard")
    except RunyardError as error:
        said = "\n".join(map(plain, str(error).split("\n")))
        typer.echo(f"runyard: {said}", err=True)
        sys.exit(error.exit_code)
