"""Observing an MLflow server as its clients meet it: by the same address, variables and proxies."""

import base64
import json
import os
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]
from uuid import uuid4

from pydantic import JsonValue

from runyard.api.model import as_list, as_object
from runyard.doctor.facts import Answer, Reply, Server, Silence, Unanswered
from runyard.doctor.findings import Unseen

_SECONDS = 10.0
_LARGEST_BYTES = 4 * 1024 * 1024
_KEPT_CHARACTERS = 2_000
_EXPERIMENTS = 100
_ARTIFACTS = "api/2.0/mlflow-artifacts/artifacts"
_TRUE = {"true", "1"}


class _Asker:
    """Sends requests as MLflow's client would, and keeps how far the server's clock is ahead."""

    def __init__(self, uri: str) -> None:
        """Take the client's variables from the environment."""
        self.uri = uri.strip().rstrip("/")
        self.ahead: timedelta | None = None
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=_trusted(os.environ)))

    def __call__(self, path: str, method: str = "GET", data: bytes | None = None, kind: str = "") -> Reply:
        """Send one request; what is too long of the answer is cut off."""
        headers = {**_login(os.environ), **({"Content-Type": kind} if kind else {})}
        try:
            request = urllib.request.Request(f"{self.uri}/{path}", data, headers, method=method)  # noqa: S310 http alone
            began = datetime.now(UTC)
            with self._opener.open(request, timeout=_SECONDS) as answer:
                self._note(answer, began)
                return Answer(answer.status, answer.read(_LARGEST_BYTES).decode(errors="replace"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(_KEPT_CHARACTERS).decode(errors="replace"))
        except (OSError, HTTPException, ValueError) as error:
            return _unanswered(error)

    def _note(self, answer: HTTPResponse, began: datetime) -> None:
        try:
            told = parsedate_to_datetime(answer.headers["Date"])
        except (TypeError, ValueError):
            return
        if self.ahead is None and told.tzinfo:
            self.ahead = told - (began + (datetime.now(UTC) - began) / 2)


def observe(uri: str, *, read_only: bool = False) -> Server:
    """Ask a server what its clients ask it.

    Unless told otherwise one small artifact, at the root of those that the server passes on, is written and removed:
    nothing else tells whether it can.
    """
    ask = _Asker(uri)
    found = Server(ask.uri, ask("health"), proxy=_proxy_of(ask.uri))
    if isinstance(found.health, Unanswered):
        return found
    body = json.dumps({"max_results": _EXPERIMENTS}).encode()
    experiments = ask("api/2.0/mlflow/experiments/search", "POST", body, "application/json")
    listed = _listed(experiments)
    if listed is None and (isinstance(experiments, Unanswered) or _is_strange(found.health, experiments)):
        return found  # something answers, and it is no MLflow
    roots = tuple(str(as_object(each).get("artifact_location") or "") for each in listed or [])
    found = replace(found, version=ask("version"), experiments=experiments, roots=roots)
    if listed is not None:
        listing = ask(f"{_ARTIFACTS}?path=")
        found = replace(found, listing=listing)
        if isinstance(listing, Answer) and listing.is_good and not read_only:
            found = _try_an_artifact(ask, found)
    return replace(found, ahead=ask.ahead)


def _try_an_artifact(ask: _Asker, found: Server) -> Server:
    path, content = f"{_ARTIFACTS}/runyard-doctor-{uuid4().hex}.txt", b"written by `runyard doctor`, and removed\n"
    written = ask(path, "PUT", content, "text/plain")
    if isinstance(written, Answer) and written.is_good:
        read = ask(path)
        if isinstance(read, Answer) and read.is_good and read.text.encode() != content:
            read = Answer(read.status, "it reads otherwise than it was written")
            written = replace(read, status=500)
        elif not (isinstance(read, Answer) and read.is_good):
            written = read
    # Also what seemed to fail may have been written.
    removed = ask(path, "DELETE")
    return replace(found, written=written, removed=removed)


def identity(uri: str) -> str | Unseen:
    """Return what tells an MLflow from any other: when and where its first experiment was made."""
    found = _Asker(uri)("api/2.0/mlflow/experiments/get?experiment_id=0")
    try:
        if isinstance(found, Answer) and found.is_good:
            first = as_object(as_object(json.loads(found.text)).get("experiment"))
            return f"{first.get('creation_time')} {first.get('artifact_location')}"
    except ValueError:
        pass
    return Unseen(f"{uri} does not tell of its first experiment")


def health(uri: str) -> Reply:
    """Ask whether a server lives."""
    return _Asker(uri)("health")


def _is_strange(health: Answer, experiments: Answer) -> bool:
    """Whether it answers as no MLflow does, which would live, or say why it does not do what it was asked."""
    refuses = experiments.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    return experiments.is_good or (health.text.strip() != "OK" and not refuses)


def _listed(reply: Reply) -> list[JsonValue] | None:
    """Return the experiments of an answer; None where it is none of MLflow's."""
    try:
        found = json.loads(reply.text) if isinstance(reply, Answer) and reply.is_good else None
    except ValueError:
        return None
    return as_list(found.get("experiments")) if isinstance(found, dict) else None


def _unanswered(error: Exception) -> Unanswered:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    text = str(cause) or type(cause).__name__
    match cause:
        case socket.gaierror():
            return Unanswered(Silence.NAME, text)
        case ConnectionRefusedError():
            return Unanswered(Silence.REFUSED, text)
        case TimeoutError():
            return Unanswered(Silence.TIMEOUT, text)
        case ssl.SSLError():
            return Unanswered(Silence.CERTIFICATE, text)
    return Unanswered(Silence.OTHER, text)


def _login(variables: Mapping[str, str]) -> dict[str, str]:
    name, password = variables.get("MLFLOW_TRACKING_USERNAME"), variables.get("MLFLOW_TRACKING_PASSWORD")
    if name and password:
        return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}
    token = variables.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _trusted(variables: Mapping[str, str]) -> ssl.SSLContext:
    authority = variables.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or variables.get("REQUESTS_CA_BUNDLE")
    try:
        found = ssl.create_default_context(cafile=authority or None)
    except OSError:  # no such file: whatever is asked over TLS then says that it is not trusted
        found = ssl.create_default_context()
    if variables.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in _TRUE:
        found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    return found


def _proxy_of(uri: str) -> str:
    parts = urllib.parse.urlsplit(uri)
    proxies = getproxies_environment()
    if not parts.hostname or proxy_bypass_environment(parts.netloc, proxies):
        return ""
    return str(proxies.get(parts.scheme) or proxies.get("all") or "")
