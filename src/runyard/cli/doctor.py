"""`runyard doctor`: what is wrong here, why it matters, and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.text import Text

from runyard import doctor as library
from runyard.api.addresses import without_logins
from runyard.cli import output as out
from runyard.cli.cluster import ContextOption, NamespaceOption
from runyard.cli.mlflow import StoreOption, TrackingOption, chosen_mlflow
from runyard.cli.output import Output
from runyard.cli.runs import OutputOption
from runyard.cluster import Cluster, ClusterUnavailable
from runyard.doctor.findings import Finding, Verdict, unknown
from runyard.doctor.manifest import read
from runyard.doctor.platform_checks import unreachable

_MARKS = {
    Verdict.WELL: ("✓", "+", "green"),
    Verdict.WRONG: ("✗", "x", "red"),
    Verdict.UNKNOWN: ("\N{EN DASH}", "-", "yellow"),
}


@dataclass(frozen=True)
class _Part:
    name: str
    findings: Sequence[Finding]


def doctor(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A manifest to look at, too.", show_default=False)
    ] = None,
    laptop: Annotated[bool, typer.Option("--laptop", help="Only this machine and its MLflow.")] = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="Only the cluster.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Do not try whether an artifact can be written and removed.")
    ] = False,
    release_namespace: Annotated[
        str, typer.Option("--release-namespace", help="Where Runyard is installed.")
    ] = "runyard",
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Find out what is wrong with this machine, its MLflow, the cluster and a manifest, and say what to do.

    Exit codes: 0 nothing is wrong, though some of it may not have been seen; 1 something is; 2 there is no such file;
    4 MLflow or the cluster does not answer.
    """
    if laptop and cluster:
        raise typer.BadParameter("give --laptop or --cluster, not both: without them both are looked at")
    uri, told_by = _mlflow(store, tracking_uri)
    is_server = urlsplit(uri).scheme in {"http", "https"}
    parts: list[_Part] = []
    if file:  # one that is not there is said before anything is waited for
        read(file)
    opened, trouble = (None, None) if laptop else _open(context, namespace, is_asked=cluster or context is not None)
    if not cluster:
        parts.append(_Part("this machine", library.of_machine(uri, told_by, Path.cwd())))
        if is_server:
            parts.append(_Part("MLflow", library.of_mlflow(uri, read_only=read_only)))
    if not laptop:
        called = context or "the current context"
        findings = (
            library.of_cluster(opened, called, release_namespace, uri if is_server else None)
            if opened
            else [trouble or unknown("cluster", "there is none to look at")]
        )
        parts.append(_Part("the cluster", findings))
    if file:
        parts.append(_Part(str(file), library.of_manifest(file, opened)))
    found = [each for part in parts for each in part.findings]

    def text(console: Console) -> None:
        for part in parts:
            _draw(console, part)
        console.print(_summary(found))

    out.emit(output, {"findings": [_body(part, each) for part in parts for each in part.findings]}, text)
    raise typer.Exit(exit_code(found))


def exit_code(found: Sequence[Finding]) -> int:
    """Return 4 where a server does not answer, 1 where something else is wrong, else 0.

    >>> exit_code([])
    0
    """
    if any(each.is_silence for each in found):
        return 4
    return int(any(each.verdict is Verdict.WRONG for each in found))


def _mlflow(store: Path | None, tracking_uri: str | None) -> tuple[str, str]:
    chosen = chosen_mlflow(store, tracking_uri)
    if isinstance(chosen, Path):
        return f"sqlite:///{chosen.absolute() / 'mlflow.db'}", "--store" if store else "default"
    return chosen, "--tracking-uri" if tracking_uri else "MLFLOW_TRACKING_URI"


def _open(context: str | None, namespace: str | None, *, is_asked: bool) -> tuple[Cluster | None, Finding | None]:
    """Open the cluster; where there is none, that is only wrong if it was asked for."""
    try:
        opened = Cluster(context, namespace)
    except ClusterUnavailable as error:
        return None, unreachable(str(error)) if is_asked else unknown("cluster", str(error))
    # Once, and not for each thing that would be looked at.
    trouble = library.silence_of(opened, context or "the current context")
    return (None, trouble) if trouble else (opened, None)


def _draw(console: Console, part: _Part) -> None:
    modern = (console.encoding or "").lower().startswith("utf")
    console.print(out.plain(part.name), style="bold")
    rows = [(", ".join(each.check for each in alike), alike[0]) for alike in _alike(part.findings)]
    width = max((len(each.check) for _, each in rows), default=0)
    indent = " " * (width + 6)
    for named, each in rows:
        mark, plain_mark, style = _MARKS[each.verdict]
        first, *more = each.says.split("\n")
        line = Text.assemble("  ", (mark if modern else plain_mark, style), f" {named:{width}}  ", out.plain(first))
        console.print(line, soft_wrap=True)
        for said in more:
            console.print(indent + out.plain(said), soft_wrap=True)
        if each.why:
            console.print(Text(f"{indent}{out.plain(each.why)}", style="dim"), soft_wrap=True)
        if each.remedy:
            console.print(f"{indent}{'→' if modern else '>'} {out.plain(each.remedy)}", soft_wrap=True)
    console.print()


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Put what could not be looked at for one reason on one line."""
    found: list[list[Finding]] = []
    for each in findings:
        last = found[-1][0] if found else None
        if last and (last.verdict, last.says) == (Verdict.UNKNOWN, each.says):
            found[-1].append(each)
        else:
            found.append([each])
    return found


def _summary(found: Sequence[Finding]) -> str:
    counts = {verdict: sum(each.verdict is verdict for each in found) for verdict in Verdict}
    wrong, not_seen = counts[Verdict.WRONG], counts[Verdict.UNKNOWN]
    said = f"{wrong} wrong, {counts[Verdict.WELL]} well" if wrong else f"Nothing is wrong: {counts[Verdict.WELL]} well"
    return f"{said}, {not_seen} could not be looked at." if not_seen else f"{said}."


def _body(part: _Part, each: Finding) -> dict[str, object]:
    return {
        "about": part.name,
        "check": each.check,
        "verdict": each.verdict.value,
        "says": without_logins(each.says),
        "why": each.why or None,
        "remedy": each.remedy or None,
    }
