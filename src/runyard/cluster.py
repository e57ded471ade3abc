"""TrainingRuns in a cluster, as a person's kubeconfig reaches it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, cast

from runyard.api.model import JsonObject
from runyard.api.trainingrun import GROUP, PLURAL, TRAINING_CONTAINER, VERSION, TrainingRun
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from kubernetes.client import ApiException

# How long the API server keeps a watch open before it is begun anew.
_WATCH_SECONDS = 240
_CONNECT_SECONDS = 10
_READ_SECONDS = 30
# A training may print nothing for days, and the client takes no request without an end.
_FOLLOW_SECONDS = 30 * 24 * 3600
# As long as an API server takes to restart.
_PATIENCE_SECONDS = 60


class ClusterUnavailable(RunyardError):
    """The cluster does not answer, or there is no kubeconfig for it."""


class Refused(RunyardError):
    """The API server does not do what was asked; the text is its own."""

    exit_code = 2


class TimedOut(RunyardError):
    """What was waited for did not come."""

    exit_code = 3


class NoLog(RunyardError):
    """A pod has no log: it is gone, or its container has not begun."""


class Cluster:
    """A namespace of a cluster."""

    def __init__(self, context: str | None = None, namespace: str | None = None) -> None:
        """Open it as kubectl would: by the kubeconfig's current context and its namespace, unless told otherwise.

        Raises:
            ClusterUnavailable: there is no such kubeconfig or context, and this is no pod either.

        """
        from kubernetes import client, config

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
        self._custom, self._core = client.CustomObjectsApi(), client.CoreV1Api()

    def create(self, manifest: JsonObject) -> TrainingRun:
        """Create a TrainingRun in its own namespace, or in this one.

        Raises:
            Refused: the API server does not take it.
            ClusterUnavailable: it does not answer.

        """
        metadata = cast("JsonObject", manifest.get("metadata") or {})
        with _answering():
            created = self._custom.create_namespaced_custom_object(
                GROUP,
                VERSION,
                str(metadata.get("namespace") or self.namespace),
                PLURAL,
                manifest,
                field_manager="runyard",
                field_validation="Strict",
                _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS),
            )
        return TrainingRun.model_validate(created)

    def get(self, name: str) -> TrainingRun:
        """Read a TrainingRun.

        Raises:
            Refused: there is none of that name.
            ClusterUnavailable: the API server does not answer.

        """
        with _answering():
            found = self._custom.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, name, _request_timeout=(_CONNECT_SECONDS, _READ_SECONDS)
            )
        return TrainingRun.model_validate(found)

    def watch(self, name: str, timeout_seconds: float | None = None) -> Iterator[TrainingRun]:
        """Yield a TrainingRun as it is, and again whenever it changes; an API server that restarts is waited for.

        Args:
            name: its name.
            timeout_seconds: how long at most; None: for ever.

        Raises:
            Refused: there is none of that name, or it was deleted meanwhile.
            ClusterUnavailable: the API server has not answered for a minute.
            TimedOut: the time is over.

        """
        from kubernetes.client import ApiException
        from kubernetes.watch import Watch
        from urllib3.exceptions import HTTPError

        ends_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        found = self.get(name)
        while True:
            yield found
            left = _WATCH_SECONDS if ends_at is None else ends_at - time.monotonic()
            if left <= 0:
                raise TimedOut(f"{name} has not ended in {timeout_seconds:g} s: it is {found.status.phase or 'new'}")
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
            except (ApiException, HTTPError):  # too old a version, or the server went away: begin anew
                pass
            found = self._patiently(name)

    def _patiently(self, name: str) -> TrainingRun:
        gives_up_at = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self.get(name)
            except ClusterUnavailable:
                if time.monotonic() > gives_up_at:
                    raise
                time.sleep(1)

    def log(self, pod: str, *, follow: bool = False) -> Iterator[bytes]:
        """Yield a training container's log as it comes.

        Raises:
            NoLog: the pod is gone, or its container has not begun.
            ClusterUnavailable: the API server does not answer, or the kubelet does not.

        """
        from urllib3.exceptions import HTTPError

        with _answering(missing=NoLog):
            answer = self._core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=TRAINING_CONTAINER,
                follow=follow,
                _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, _FOLLOW_SECONDS if follow else _READ_SECONDS),
            )
        try:
            yield from answer.stream(decode_content=False)
        except HTTPError as error:
            raise ClusterUnavailable(f"the log of {pod} broke off: {error}") from error
        finally:
            answer.release_conn()


def _own_namespace() -> str:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()


@contextmanager
def _answering(missing: type[RunyardError] | None = None) -> Iterator[None]:
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
        if error.status is not None and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ClusterUnavailable(f"the cluster cannot do it: {said}") from error
        raise Refused(said) from error


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
