"""Checks of an MLflow server, from what it answered."""

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

from runyard.api.addresses import without_logins
from runyard.doctor.facts import Answer, Reply, Server, Silence, Unanswered
from runyard.doctor.findings import Finding, silent, unknown, well, wrong

_BAD_HOST = "Invalid Host header"
_VERSION = re.compile(r"(\d+)\.(\d+)\.[\w.+-]+")
_FORBIDDEN, _UNAUTHORIZED, _UNAVAILABLE = 403, 401, 503
# The Date header has whole seconds, and a request takes its time.
_SKEW = timedelta(seconds=30)
_LATER = ("version", "database", "artifact-root", "artifacts", "clock")
_PROXY_REMEDY = "export NO_PROXY={host}, or correct HTTP_PROXY and HTTPS_PROXY"
_SILENCE_REMEDIES = {
    Silence.NAME: "look at the name's spelling; for *.localhost: echo '127.0.0.1 {host}' | sudo tee -a /etc/hosts",
    Silence.REFUSED: "start it, or correct MLFLOW_TRACKING_URI; in a cluster: kubectl -n runyard get pods,ingress",
    Silence.TIMEOUT: "look for a firewall, VPN or proxy between here and {host}",
    Silence.CERTIFICATE: "export MLFLOW_TRACKING_SERVER_CERT_PATH=AUTHORITY.pem",
    Silence.OTHER: "curl -v {uri}/health",
}


def checks(facts: Server, client_version: str | None) -> Iterator[Finding]:
    """Say what is well and what is wrong with a server, given the version of MLflow here."""
    first = _server(facts)
    yield first
    if facts.experiments is None:
        yield from (unknown(name, "the server does not answer as MLflow does") for name in _LATER)
        return
    yield _version(facts, client_version)
    yield _database(facts)
    yield _root(facts)
    yield from _artifacts(facts)
    yield _clock(facts)


def _server(facts: Server) -> Finding:
    shown, host = without_logins(facts.uri), urlsplit(facts.uri).hostname or ""
    match facts.health:
        case Unanswered(silence, text):
            by = f" by the proxy {without_logins(facts.proxy)}" if facts.proxy else ""
            remedy = _PROXY_REMEDY if facts.proxy else _SILENCE_REMEDIES[silence]
            remedy = remedy.format(host=host, uri=shown)
            return silent("server", f"{shown} does not answer{by}: {silence} ({text})", "no run can be logged", remedy)
        case Answer() if _refuses_host(facts.experiments):
            return wrong(
                "server",
                f"{shown} answers 403 to this name: it is none of the server's allowed hosts",
                "every request of a client is refused, while /health answers",
                f"helm upgrade … --set mlflow.allowedHosts={{{host}}}, or mlflow server --allowed-hosts {host}:*",
            )
        case Answer(status) if _UNAUTHORIZED in {status, _status(facts.experiments)}:
            return wrong(
                "server",
                f"{shown} wants a login",
                "no run can be logged",
                "export MLFLOW_TRACKING_USERNAME=… MLFLOW_TRACKING_PASSWORD=…, or MLFLOW_TRACKING_TOKEN=…",
            )
        case Answer(200, text) if text.strip() == "OK":
            return well("server", f"{shown} answers")
        case Answer(status) if status >= 500:  # noqa: PLR2004 as HTTP has it
            why = "what stands before MLflow has no MLflow to pass it to"
            remedy = "kubectl -n runyard get pods -l app.kubernetes.io/component=mlflow"
            return silent("server", f"{shown}/health answers {status}", why, remedy)
        case Answer(status):
            why = "something else listens there: a path, a port or a page for logins"
            return wrong(
                "server", f"{shown}/health answers {status}, not as MLflow does", why, f"curl -v {shown}/health"
            )


def _version(facts: Server, client: str | None) -> Finding:
    found = _VERSION.match(facts.version.text.strip()) if isinstance(facts.version, Answer) else None
    if not found:
        return unknown("version", "the server does not say which MLflow it is")
    own = _VERSION.match(client or "")
    if not own:
        return unknown("version", f"the server is {found[0]}; there is no MLflow here to compare it with")
    (major, minor), (own_major, own_minor) = (tuple(map(int, each.groups()[:2])) for each in (found, own))
    says = f"the client is MLflow {own[0]}, the server {found[0]}"
    if major != own_major or own_minor > minor:
        why = "a newer client calls what an older server has not, and versions 2 and 3 keep models differently"
        return wrong("version", says, why, f"pip install 'mlflow=={found[0]}'")
    return well("version", says)


def _database(facts: Server) -> Finding:
    match facts.experiments:
        case Answer() as answer if answer.is_good:
            return well("database", "the server finds experiments")
        case Answer(status, text):
            why = "the server lives, and can read or write no run"
            remedy = "the server's log: kubectl -n runyard logs -l app.kubernetes.io/component=mlflow"
            return wrong("database", f"a search of experiments is answered {status}: {_short(text)}", why, remedy)
        case _:
            why, remedy = "the server lives, and can read or write no run", "look at the server's database"
            return silent("database", "a search of experiments is not answered in time", why, remedy)


def _root(facts: Server) -> Finding:
    elsewhere = sorted({root for root in facts.roots if urlsplit(root).scheme in {"", "file"}})
    if elsewhere:
        return wrong(
            "artifact-root",
            f"experiments keep artifacts in {_short(elsewhere[0])}, a folder",
            "each client writes to its own disk under that name: nobody else finds models and logs",
            "mlflow server --serve-artifacts --artifacts-destination FOLDER, and new experiments",
        )
    direct = sorted({urlsplit(root).scheme for root in facts.roots} - {"mlflow-artifacts"})
    if direct:
        return well("artifact-root", f"clients write to {', '.join(direct)} themselves, and need its keys")
    return well("artifact-root", "artifacts go through the server")


def _artifacts(facts: Server) -> Iterator[Finding]:
    through = any(urlsplit(root).scheme == "mlflow-artifacts" for root in facts.roots) or not facts.roots
    if not through:
        yield unknown("artifacts", "they do not go through the server: try it with a script of your own")
        return
    why = "metrics are logged, and no model, figure or log is kept"
    remedy = "the server's log, and its --artifacts-destination: does it exist, may the server write there, is it full?"
    listing, written, removed = facts.listing, facts.written, facts.removed
    if isinstance(listing, Answer) and listing.status == _UNAVAILABLE and "no-serve-artifacts" in listing.text:
        yield wrong("artifacts", "the server passes no artifacts on", why, "mlflow server --serve-artifacts")
    elif not _is_good(listing):
        yield wrong("artifacts", f"artifacts cannot be listed: {_said(listing)}", why, remedy)
    elif written is None:
        yield unknown("artifacts", "they can be read; whether they can be written was not tried (--read-only)")
    elif not _is_good(written):
        yield wrong("artifacts", f"no artifact can be written: {_said(written)}", why, remedy)
    elif not _is_good(removed):
        why = "old artifacts cannot be removed, and the one that was tried is left there"
        yield wrong("artifacts", f"an artifact can be written, not removed: {_said(removed)}", why, remedy)
    else:
        yield well("artifacts", "one was written through the server, read and removed")


def _clock(facts: Server) -> Finding:
    if facts.ahead is None:
        return unknown("clock", "the server does not say what time it has")
    seconds = round(facts.ahead.total_seconds())
    if abs(facts.ahead) > _SKEW:
        return wrong(
            "clock",
            f"this machine's clock is {abs(seconds)} s {'behind' if seconds > 0 else 'ahead of'} the server's",
            "runs of here and of the cluster are in a wrong order, and their durations and ages are wrong",
            "timedatectl set-ntp true",
        )
    return well("clock", "it goes as the server's does")


def _refuses_host(reply: Reply | None) -> bool:
    return isinstance(reply, Answer) and reply.status == _FORBIDDEN and _BAD_HOST in reply.text


def _status(reply: Reply | None) -> int | None:
    return reply.status if isinstance(reply, Answer) else None


def _is_good(reply: Reply | None) -> bool:
    return isinstance(reply, Answer) and reply.is_good


def _said(reply: Reply | None) -> str:
    match reply:
        case Answer(status, text):
            return f"{status} {_short(text)}"
        case Unanswered(silence, text):
            return f"{silence} ({text})"
    return "nobody was asked"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}…"  # noqa: PLR2004 as much as a line may have
