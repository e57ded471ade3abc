"""Checks of a person's machine."""

import shlex
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from runyard.api.addresses import without_logins
from runyard.doctor.facts import Machine
from runyard.doctor.findings import Finding, Unseen, unknown, well, wrong

_SCHEMES = {"http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "file"}
# What a training is told by the operator, and what a shell is left with after somebody tried it by hand.
_CAPTURING = {
    "MLFLOW_RUN_ID": "every script that starts a run goes on with this one, and writes over what it says",
    "MLFLOW_EXPERIMENT_ID": "it wins over the experiment that a script's manifest or MLFLOW_EXPERIMENT_NAME names",
    "MLFLOW_RUN_CONTEXT": "every run gets these tags, and is taken for a part of the training that they name",
}
_OWN_PROXIES = ("localhost", "127.0.0.1", "::1")


def checks(facts: Machine) -> Iterator[Finding]:
    """Say what is well and what is wrong with a machine."""
    yield _packages(facts)
    yield _address(facts)
    yield from _store(facts)
    yield from _variables(facts)
    yield _proxy(facts)
    yield from _git(facts)


def _packages(facts: Machine) -> Finding:
    if facts.mlflow is None:
        return wrong(
            "packages",
            f"MLflow is not installed in this Python {facts.python}",
            "no run can be made or read from here",
            "pip install 'runyard[local]'",
        )
    return well("packages", f"Python {facts.python}, Runyard {facts.runyard}, MLflow {facts.mlflow}")


def _address(facts: Machine) -> Finding:
    uri, told_by = facts.tracking_uri, facts.told_by
    shown = without_logins(uri)
    parts = urlsplit(uri.strip())
    if uri != uri.strip():
        return _wrong_address(told_by, f"{told_by} is {shown!r}, with space around it", uri.strip())
    if parts.scheme not in _SCHEMES and parts.scheme.partition("+")[0] not in _SCHEMES:
        return _wrong_address(told_by, f"{told_by} is {shown}, which has no http:// before it", f"http://{uri}")
    if parts.scheme in {"http", "https"} and not parts.hostname:
        return _wrong_address(told_by, f"{told_by} is {shown}, which names no host", "http://HOST:PORT")
    if parts.scheme in {"http", "https"} and parts.path.rstrip("/").endswith(("/api", "/api/2.0", "/mlflow")):
        return _wrong_address(
            told_by, f"{told_by} is {shown}: clients put /api/2.0/mlflow after it", f"{parts.scheme}://{parts.netloc}"
        )
    return well("tracking-uri", f"{shown}, by {told_by}")


def _wrong_address(told_by: str, says: str, better: str) -> Finding:
    quoted = shlex.quote(without_logins(better))
    remedy = f"export MLFLOW_TRACKING_URI={quoted}" if told_by.isupper() else f"{told_by} {quoted}"
    return wrong("tracking-uri", says, "MLflow takes it for a folder, or calls what is not there", remedy)


def _store(facts: Machine) -> Iterator[Finding]:
    shown = without_logins(facts.tracking_uri)
    if urlsplit(facts.tracking_uri.strip()).scheme in {"http", "https"}:
        return
    match facts.store:
        case None:
            yield well("store", "there is none yet: `runyard run` makes it")
        case Unseen(because):
            yield unknown("store", because)
        case "":
            yield well("store", f"{shown} can be read")
        case trouble:
            remedy = (
                f"mlflow db upgrade {shlex.quote(shown)}"
                if "schema" in trouble
                else "--store FOLDER, or --tracking-uri ADDRESS"
            )
            yield wrong("store", trouble, "runs can be neither listed nor logged", remedy)


def _variables(facts: Machine) -> Iterator[Finding]:
    set_here = [name for name in _CAPTURING if facts.environment.get(name)]
    if "RUNYARD_POD_UID" in facts.environment:
        yield well("environment", "this is a training's pod: the operator has set its variables")
        return
    for name in set_here:
        value = facts.environment[name]
        yield wrong("environment", f"{name} is set to {value[:80]}", _CAPTURING[name], f"unset {name}")
    registry = facts.environment.get("MLFLOW_REGISTRY_URI")
    if registry and registry.rstrip("/") != facts.tracking_uri.rstrip("/"):
        yield wrong(
            "environment",
            f"MLFLOW_REGISTRY_URI is {without_logins(registry)}, not where runs are",
            "scripts register models at another place than the one that `runyard promote` and `serve` look at",
            "unset MLFLOW_REGISTRY_URI",
        )
    elif not set_here:
        yield well("environment", "no variable captures runs")


def _proxy(facts: Machine) -> Finding:
    host = urlsplit(facts.tracking_uri.strip()).hostname or ""
    scheme = urlsplit(facts.tracking_uri.strip()).scheme
    proxies = {
        kind: found
        for kind in ("http", "https", "all")
        if (found := facts.environment.get(f"{kind}_proxy") or facts.environment.get(f"{kind.upper()}_PROXY"))
    }
    proxy = proxies.get(scheme) or proxies.get("all")
    if scheme not in {"http", "https"} or not proxy:
        return well("proxy", "MLflow is reached without one")
    exceptions = facts.environment.get("no_proxy") or facts.environment.get("NO_PROXY") or ""
    if proxy_bypass_environment(host, {"no": exceptions}):
        return well("proxy", f"NO_PROXY leaves {host} out")
    if host in _OWN_PROXIES or host.endswith((".localhost", ".svc", ".local", ".internal")) or "." not in host:
        return wrong(
            "proxy",
            f"requests to {host} go by the proxy {without_logins(proxy)}",
            "a proxy cannot reach what only this machine or its network knows by that name",
            f"export NO_PROXY={shlex.quote(','.join(filter(None, (exceptions, host))))}",
        )
    return well("proxy", f"MLflow is reached by {without_logins(proxy)}")


def _git(facts: Machine) -> Iterator[Finding]:
    found, folder = facts.repository, shlex.quote(facts.folder)
    why = "a run cannot say which code it ran, and `runyard reproduce` cannot fetch it again"
    if found is None:
        yield unknown("git", f"{facts.folder} is in no git repository: look from the folder that has your code")
    elif "dubious ownership" in found.trouble:
        says = "the repository belongs to somebody else, and git does not read it"
        yield wrong("git", says, why, f"git config --global --add safe.directory {folder}")
    elif "not installed" in found.trouble:
        yield wrong("git", found.trouble, why, "install git")
    elif found.trouble:
        yield wrong("git", found.trouble, why, "git status, and what it says")
    elif not found.author:
        why_author = "git makes no commit without an author, and without a commit code has no name"
        yield wrong("git", "no author is set", why_author, "git config --global user.email YOU@EXAMPLE.COM")
    elif not found.has_commit:
        yield wrong("git", "the repository has no commit", why, "git add . && git commit")
    else:
        yield well("git", f"{facts.folder} is in a repository that git reads")
