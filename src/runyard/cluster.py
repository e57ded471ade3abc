"""TrainingRuns in a cluster, as a person's kubeconfig reaches it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.trainingrun import GROUP, PLURAL, VERSION, TrainingRun
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from kubernetes.client import ApiException

# How long the API server keeps a watch open before it is begun anew.
_WATCH_SECONDS = 240
_CONNECT_SECONDS = 10
_PAGE = 500
# TrainingRuns that are read to find the newest.
MOST_READ = 10_000
_READ_SECONDS = 30
# As long as an API server takes to restart.
_PATIENCE_SECONDS = 60
_PAUSE_SECONDS = 1.0


class ClusterUnavailable(RunyardError):
    """The cluster does not answer, or there is no kubeconfig for it."""

    exit_code = 4


class Refused(RunyardError):
    """The API server does not do what was asked; the text is its own."""

    exit_code = 2


class NotThere(Refused):
    """There is no such object, or no such kind of objects."""


class Forbidden(Refused):
    """Whoever asks has not the right to; the text is the API server's own."""


class Unknown(Forbidden):
    """The API server does not know who asks: the token is wrong, or has expired."""


class TimedOut(RunyardError):
    """What was waited for did not come."""

    exit_code = 3


class Deadline:
    """A time at which to stop waiting.

    Attributes:
        seconds: how long from the beginning; None: for ever.

    """

    def __init__(self, seconds: float | None = None) -> None:
        """Begin."""
        self.seconds = seconds
        self._at = math.inf if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float:
        """How many seconds are left; infinitely many where there is no end."""
        return self._at - time.monotonic()


@dataclass(frozen=True)
class Newest:
    """TrainingRuns, as far as they were read.

    Attributes:
        runs: the newest of those that were read, the newest first.
        read: how many were read.
        is_cut: whether there are others, which come later in the order of namespaces and names.

    """

    runs: Sequence[TrainingRun]
    read: int
    is_cut: bool


class Cluster:
    """A namespace of a cluster.

    Attributes:
        namespace: its name.
        core: the client for pods and their like.

    """

    def __init__(self, context: str | None = None, namespace: str | None = None) -> None:
        """Open it as kubectl would: by the kubeconfig's current context and its namespace, unless told otherwise.

        Raises:
            ClusterUnavailable: there is no such kubeconfig or context, and this is no pod either.

        """
        from kubernetes import client, config

        self._is_told = namespace is not None
        try:
            contexts, current = config.list_kube_config_contexts()
            config.load_kube_config(context=context)
        except config.ConfigException as error:
            if context is not None:
                raise ClusterUnavailable(f"the context {context} cannot be used: {error}") from error
            try:
                config.load_incluster_config()
            except config.ConfigException:
                raise ClusterUnavailable(
                    f"there is no cluster to talk to ({error}): set KUBECONFIG, or give --context"
                ) from error
            self.namespace = namespace or _own_namespace()
        else:
            chosen = next((found for found in contexts if found["name"] == context), current)
            self.namespace = namespace or chosen["context"].get("namespace") or "default"
        self._custom, self.core = client.CustomObjectsApi(), client.CoreV1Api()

    @property
    def named(self) -> str | None:
        """The namespace, if it was named: not what is merely the context's."""
        return self.namespace if self._is_told else None

    def create(self, manifest: JsonObject) -> TrainingRun:
        """Create a TrainingRun in its own namespace, or in this one.

        Raises:
            Refused: the API server does not take it.
            ClusterUnavailable: it does not answer.

        """
        metadata = cast("JsonObject", manifest.get("metadata") or {})
        own = metadata.get("namespace")
        if self._is_told and own not in {None, self.namespace}:
            raise Refused(
                f"the manifest's metadata.namespace is {own}, and --namespace {self.namespace}: leave one of them out"
            )
        with answering():
            created = self._custom.create_namespaced_custom_object(
                GROUP,
                VERSION,
                str(own or self.namespace),
                PLURAL,
                manifest,
                field_manager="runyard",
                field_validation="Strict",
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        return TrainingRun.model_validate(created)

    def call(
        self,
        method: str,
        path: str,
        body: JsonObject | None = None,
        content_type: str = "application/json",
        **query: str | int,
    ) -> JsonObject:
        """Send a request of plain JSON; return the answer.

        Raises:
            NotThere: there is no such object, or no such kind.
            Forbidden: one may not.
            Refused: the API server does not do it.
            ClusterUnavailable: it does not answer, or not with an object.

        """
        from kubernetes.client import ApiException

        api = self.core.api_client
        request = api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            # The client writes JSON where the type is one of JSON's, and leaves the rest as it is.
            body=body if body is None or content_type.endswith("json") else json.dumps(body),
            auth_settings=["BearerToken"],
        )
        with answering():
            answer = api.call_api(*request, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS))
            text = answer.read().decode(errors="replace")
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise ApiException.from_response(http_resp=answer, body=text, data=None)
        try:
            return as_object(json.loads(text))
        except ValueError as error:
            raise ClusterUnavailable(f"what answers at {path} is no API server of Kubernetes") from error

    def get(self, name: str, namespace: str = "") -> TrainingRun:
        """Read a TrainingRun, of this namespace or of another one.

        Raises:
            Refused: there is none of that name.
            ClusterUnavailable: the API server does not answer.

        """
        with answering():
            found = self._custom.get_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace or self.namespace,
                PLURAL,
                name,
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        return TrainingRun.model_validate(found)

    def phases(self) -> dict[str, str]:
        """Return the phases of the namespace's TrainingRuns by their names; of very many the first 500.

        Raises:
            Refused: they may not be listed.
            ClusterUnavailable: the API server does not answer.

        """
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURAL}"
        found = [TrainingRun.model_validate(item) for item in as_list(self.call("GET", path, limit=500).get("items"))]
        return {each.metadata.name: str(each.status.phase or "new") for each in found}

    def every(
        self,
        namespaces: Sequence[str] = (),
        at_most: int = 1_000,
        most_read: int = MOST_READ,
        ask: Callable[[Callable[[], JsonObject]], JsonObject] = lambda read: read(),
    ) -> Newest:
        """Return the newest TrainingRuns of some namespaces, or of all where none is named.

        The API server gives them by name, page by page, so that all must be read to know the newest.

        Args:
            namespaces: of which; none: of all.
            at_most: how many are returned. No more are held in memory, besides one page.
            most_read: how many are read. Others may be newer.
            ask: does each request, which is given to it.

        Raises:
            Forbidden: one may not list them.
            NotThere: the cluster has no TrainingRuns: Runyard is not installed there.
            ClusterUnavailable: the API server does not answer.

        """
        newest: list[JsonObject] = []
        read = 0
        places = [f"/namespaces/{name}" for name in namespaces] or [""]
        for number, place in enumerate(places, 1):
            token = ""
            while True:
                path = f"/apis/{GROUP}/{VERSION}{place}/{PLURAL}"
                query = {"continue": token} if token else {}
                limit = max(1, min(_PAGE, most_read - read))
                page = ask(partial(self.call, "GET", path, None, limit=limit, **query))
                items = list(map(as_object, as_list(page.get("items"))))
                read += len(items)
                newest = sorted([*newest, *items], key=_made_at, reverse=True)[:at_most]
                token = str(as_object(page.get("metadata")).get("continue") or "")
                if read >= most_read and (token or number < len(places)):
                    return Newest(list(map(TrainingRun.model_validate, newest)), read, is_cut=True)
                if not token:
                    break
        return Newest(list(map(TrainingRun.model_validate, newest)), read, is_cut=False)

    def bearing(self, token: str) -> Cluster:
        """Return the same cluster for the bearer of a token, with nothing of whoever opened this one."""
        from kubernetes import client

        mine = self.core.api_client.configuration
        # A client's certificate would count for more than the token, and so would a login.
        theirs = client.Configuration(
            host=mine.host,
            api_key={"authorization": f"Bearer {token}"},
            ssl_ca_cert=mine.ssl_ca_cert,
            ca_cert_data=mine.ca_cert_data,
            verify_ssl=mine.verify_ssl,
            tls_server_name=mine.tls_server_name,
            proxy=mine.proxy,
            no_proxy=mine.no_proxy,
        )
        found, opened = copy(self), client.ApiClient(theirs)
        found._custom, found.core = client.CustomObjectsApi(opened), client.CoreV1Api(opened)  # noqa: SLF001 its own
        return found

    def watch(self, name: str, deadline: Deadline) -> Iterator[TrainingRun]:
        """Yield a TrainingRun as it is, and again whenever it changes; an API server that restarts is waited for.

        Raises:
            Refused: there is none of that name, it was deleted meanwhile, or it may not be watched.
            ClusterUnavailable: the API server has not answered for a minute.
            TimedOut: the time is over.

        """
        from kubernetes.client import ApiException
        from kubernetes.watch import Watch
        from urllib3.exceptions import HTTPError

        found = self.get(name)
        while True:
            yield found
            left = deadline.left
            if left <= 0:
                raise TimedOut(f"{name} has not ended in {deadline.seconds:g} s: it is {found.status.phase or 'new'}")
            events = Watch().stream(
                self._custom.list_namespaced_custom_object,
                GROUP,
                VERSION,
                self.namespace,
                PLURAL,
                field_selector=f"metadata.name={name}",
                resource_version=found.metadata.resource_version,
                timeout_seconds=max(1, round(min(left, _WATCH_SECONDS))),
                _request_timeout=(_CONNECT_SECONDS, _WATCH_SECONDS + _READ_SECONDS),
            )
            try:
                for event in events:
                    if event["type"] == "DELETED":
                        raise Refused(f'the TrainingRun "{name}" was deleted')
                    found = TrainingRun.model_validate(event["object"])
                    yield found
            except HTTPError:  # the server went away: begin anew
                time.sleep(_PAUSE_SECONDS)
            except ApiException as error:
                if not (error.status == HTTPStatus.GONE or _may_pass(error)):
                    raise Refused(_message(error)) from error
                time.sleep(_PAUSE_SECONDS)
            found = self._patiently(name)

    def _patiently(self, name: str) -> TrainingRun:
        gives_up_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self.get(name)
            except ClusterUnavailable:
                if time.monotonic() > gives_up_at:
                    raise
                time.sleep(_PAUSE_SECONDS)


def _made_at(found: JsonObject) -> str:
    return str(as_object(found.get("metadata")).get("creationTimestamp"))


def _own_namespace() -> str:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()


@contextmanager
def answering(missing: type[RunyardError] | None = None) -> Iterator[None]:
    """Say in a sentence why the API server did not do it."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except HTTPError as error:
        raise ClusterUnavailable(f"the cluster does not answer: {error}") from error
    except ApiException as error:
        said = _message(error)
        if missing and error.status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
            raise missing(said) from error
        if _may_pass(error):
            raise ClusterUnavailable(f"the cluster cannot do it: {said}") from error
        kinds: dict[int | None, type[Refused]] = {
            HTTPStatus.NOT_FOUND: NotThere,
            HTTPStatus.FORBIDDEN: Forbidden,
            HTTPStatus.UNAUTHORIZED: Unknown,
        }
        raise kinds.get(error.status, Refused)(said) from error


def _may_pass(error: ApiException) -> bool:
    status = error.status or 0
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
