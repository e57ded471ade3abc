"""`runyard serve`: a registered model's version behind HTTP, in a cluster or on this machine."""

import json
import os
import shlex
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, cast

import typer
from pydantic import JsonValue
from rich.console import Console

from runyard.api.model import JsonObject
from runyard.cli import output as out
from runyard.cli.cluster import ContextOption, NamespaceOption
from runyard.cli.mlflow import StoreOption, TrackingOption
from runyard.cli.output import Output
from runyard.cli.runs import OutputOption, mlflow_uri
from runyard.cluster import Cluster, Deadline
from runyard.serving import rollout, versions
from runyard.serving.objects import (
    ARTIFACT_STORE,
    KSERVE_NEEDS,
    POD_TRACKING_URI,
    SERVICE_PORT,
    Serving,
    address,
    inference_service,
    manifests,
    object_name,
)
from runyard.serving.versions import Version

_LONGEST_EXAMPLE = 2_000
_FORWARDED_PORT = 8080


def serve(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="MODEL, which is MODEL@champion; MODEL@ALIAS; MODEL/VERSION."),
    ],
    local: Annotated[bool, typer.Option("--local", help="On this machine, in place of a cluster.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="With --local: where it listens.")] = 5001,
    delete: Annotated[bool, typer.Option("--delete", help="Take away what serves it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the objects, and ask no cluster.")] = False,
    kserve: Annotated[bool, typer.Option("--kserve", help="Print an InferenceService for KServe.")] = False,
    artifact_store: Annotated[
        str, typer.Option("--artifact-store", help="With --kserve: the server's --artifacts-destination.")
    ] = ARTIFACT_STORE,
    image: Annotated[
        str | None,
        typer.Option("--image", help="With MLflow and the model's packages.", show_default="runyard/runtime:VERSION"),
    ] = None,
    replicas: Annotated[int, typer.Option("--replicas", min=1, help="How many pods.")] = 1,
    cpu: Annotated[str, typer.Option("--cpu", help="What each pod asks for.")] = "100m",
    memory: Annotated[str, typer.Option("--memory", help="What each pod has.")] = "1Gi",
    pod_tracking_uri: Annotated[
        str, typer.Option("--pod-tracking-uri", help="MLflow, as pods reach it.")
    ] = POD_TRACKING_URI,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait until it answers.")] = 300,
    store: StoreOption = None,
    tracking_uri: TrackingOption = None,
    context: ContextOption = None,
    namespace: NamespaceOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve a registered model's version, with MLflow's own scoring server.

    An alias is looked up once: what is served stays until the next `runyard serve`.

    Exit codes: 0 it answers; 1 its pods do not come up, and what was served before goes on; 2 there is no such model,
    version or alias, or the API server refuses; 3 --timeout is over; 4 MLflow or the cluster does not answer.
    """
    if sum((local, delete, dry_run, kserve)) > 1:
        raise typer.BadParameter("give one of --local, --delete, --dry-run and --kserve")
    if delete:
        _delete(Cluster(context, namespace), versions.read(model)[0], output)
        return
    uri = mlflow_uri(store, tracking_uri)
    if not local and not uri.startswith(("http://", "https://")):
        raise typer.BadParameter(
            "pods cannot read the store of this machine: give --tracking-uri for a server, or --local"
        )
    found = versions.find(uri, model)
    if local:
        _serve_here(uri, found, port, output)
    wanted = Serving(found, image or f"runyard/runtime:{installed('runyard')}", pod_tracking_uri, replicas, cpu, memory)
    if dry_run or kserve:
        objects = [inference_service(wanted, artifact_store)] if kserve else manifests(wanted)
        _print(objects, namespace, KSERVE_NEEDS if kserve else (), output)
        return
    opened = Cluster(context, namespace)
    request = _request(uri, found)
    typer.echo(f"Waiting until {_called(found)} answers in {opened.namespace} …", err=True)
    before = rollout.serve(opened, wanted, Deadline(timeout))
    _say(wanted, opened.namespace, before, request, output)


def _called(found: Version) -> str:
    alias = f" ({found.alias})" if found.alias else ""
    return f"{out.plain(found.model)} version {found.number}{alias}"


def _delete(opened: Cluster, model: str, output: Output) -> None:
    name = rollout.delete(opened, model)
    body = {"deleted": name, "namespace": opened.namespace}
    says = f"Nothing serves {out.plain(model)} in {opened.namespace} any more: {name} is deleted."
    out.emit(output, body, lambda console: console.print(says, soft_wrap=True))


def _print(objects: list[JsonObject], namespace: str | None, notes: tuple[str, ...], output: Output) -> None:
    """Print objects such that `kubectl apply -f -` takes them."""
    if namespace:
        for each in objects:
            each["metadata"] = {**cast("JsonObject", each["metadata"]), "namespace": namespace}
    if output is Output.JSON:
        out.emit(output, {"apiVersion": "v1", "kind": "List", "items": objects}, lambda _: None)
        return
    for note in notes:
        typer.echo(f"# {note}")
    typer.echo("---\n".join(out.as_yaml(each) for each in objects), nl=False)


def _request(uri: str, found: Version) -> str | None:
    """Return the body of a request by the model's input example; None where it has none that one would type."""
    given: JsonValue = versions.example(uri, found)
    text = json.dumps(given)
    return text if given is not None and len(text) <= _LONGEST_EXAMPLE else None


def _curl(place: str, request: str | None) -> str:
    body = request or '{"dataframe_split": {"columns": ["…"], "data": [["…"]]}}'
    return f"curl -s {place} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def _note(console: Console, request: str | None) -> None:
    if request is None:
        console.print("The model has no short input example: log it with input_example=ROW to have one here.")


def _say(wanted: Serving, namespace: str, before: int | None, request: str | None, output: Output) -> None:
    found, place = wanted.version, address(wanted.name, namespace)
    forward = f"kubectl -n {namespace} port-forward service/{wanted.name} {_FORWARDED_PORT}:{SERVICE_PORT}"
    curl = _curl(f"http://127.0.0.1:{_FORWARDED_PORT}/invocations", request)
    body = {
        "model": found.model,
        "version": found.number,
        "alias": found.alias,
        "versionBefore": before,
        "namespace": namespace,
        "name": object_name(found.model),
        "address": place,
        "portForward": forward,
        "curl": curl,
    }

    def text(console: Console) -> None:
        instead = f", in place of version {before}" if before not in {None, found.number} else ""
        console.print(f"{_called(found)} answers at {place}{instead}.", soft_wrap=True)
        console.print("\nFrom this machine:", soft_wrap=True)
        console.print(f"  {forward}\n  {out.plain(curl)}", soft_wrap=True)
        _note(console, request)

    out.emit(output, body, text)


def _serve_here(uri: str, found: Version, port: int, output: Output) -> None:
    """Become MLflow's scoring server; this process ends with it."""
    place = f"http://127.0.0.1:{port}/invocations"
    request = _request(uri, found)
    curl = _curl(place, request)
    body = {"model": found.model, "version": found.number, "alias": found.alias, "address": place, "curl": curl}

    def text(console: Console) -> None:
        console.print(f"{_called(found)} will answer at {place}; Ctrl-C ends it.", soft_wrap=True)
        console.print(f"  {out.plain(curl)}", soft_wrap=True)
        _note(console, request)

    out.emit(output, body, text)
    sys.stdout.flush()
    programs = str(Path(sys.executable).parent)
    # MLflow starts the server by its name, wherever this Python's programs are.
    path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path}
    environment.pop("MLFLOW_REGISTRY_URI", None)
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", found.uri),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
    ]
    os.execve(sys.executable, command, environment)  # noqa: S606 the words are ours
