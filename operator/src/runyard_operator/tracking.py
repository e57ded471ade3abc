"""Everything the operator says to MLflow, over its REST API."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from http.client import responses
from typing import Any
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from runyard.api.addresses import without_logins
from runyard.api.model import JsonObject
from runyard.api.records import INSTALLATION_TAG, POD_TAG, UID_TAG, Correction, Run, RunStatus, model_address

API = "api/2.0/mlflow"
_CONNECT_SECONDS, _SILENCE_SECONDS = 3, 10
_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
# How long MLflow may still do what it was asked for when nobody waits for that any more: a little longer than anybody
# would have waited. No request has a name by which a second one could be known for the same.
MAY_STILL_COME = timedelta(seconds=_CONNECT_SECONDS + _SILENCE_SECONDS + 2)
# Where artifacts are kept may hang while MLflow answers: the rest is for what is true of runs.
_REQUESTS_AT_ONCE, _OF_ARTIFACTS = 16, 8
_PAGE = 1000
_AT_ONCE = 8
_IDS_IN_A_SEARCH = 100


class TrackingError(Exception):
    """MLflow did not answer, or refused; the text says which call and what came back."""

    def __init__(self, message: str, status: int | None = None, code: str = "") -> None:
        """Keep the HTTP status and MLflow's own error code beside the text."""
        self.status, self.code = status, code
        super().__init__(message)

    @property
    def may_be_done(self) -> bool:
        """Whether what was asked for may have been done, or be done yet, all the same."""
        cause = self.__cause__
        if isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return False
        return cause is not None or (self.status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR


class MayStillCome(TrackingError):
    """Something is to be made that was perhaps asked for before, and may come yet; `pause` is until it cannot."""

    def __init__(self, pause: timedelta) -> None:
        """Say how long it is waited for."""
        self.pause = pause
        seconds = pause.total_seconds()
        super().__init__(f"MLflow may still make what it was asked for before: it is made anew in {seconds:.0f} s")


class ArtifactsUnreachable(TrackingError):
    """A run keeps its artifacts where only its own client reaches them, and that does not pass."""


class ExperimentDeleted(TrackingError):
    """A run is to be made in an experiment that was deleted: somebody has to say what is to become of it."""

    def __init__(self, name: str, experiment_id: str) -> None:
        """Say what can be done."""
        super().__init__(
            f'the experiment "{name}" is deleted in MLflow, and the run of this training is still to be made there: '
            f"restore it (mlflow experiments restore --experiment-id {experiment_id})"
        )


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _KeyValue(_Lenient):
    key: str
    value: str = ""


class _Metric(_Lenient):
    key: str
    value: float


class _ModelOutput(_Lenient):
    model_id: str
    step: int = 0


class _Outputs(_Lenient):
    model_outputs: list[_ModelOutput] = Field(default_factory=list)


class _RunInfo(_Lenient):
    run_id: str
    experiment_id: str
    status: RunStatus = RunStatus.RUNNING
    start_time: int = 0
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class _RunData(_Lenient):
    tags: list[_KeyValue] = Field(default_factory=list)
    params: list[_KeyValue] = Field(default_factory=list)
    metrics: list[_Metric] = Field(default_factory=list)


class _Run(_Lenient):
    info: _RunInfo
    data: _RunData = Field(default_factory=_RunData)
    outputs: _Outputs = Field(default_factory=_Outputs)

    def plain(self) -> Run:
        tags = {tag.key: tag.value for tag in self.data.tags}
        return Run(
            id=self.info.run_id,
            experiment_id=self.info.experiment_id,
            status=self.info.status,
            start_time_ms=self.info.start_time,
            artifact_uri=self.info.artifact_uri,
            tags=tags,
            metrics={metric.key: metric.value for metric in self.data.metrics},
            params={param.key: param.value for param in self.data.params},
            model=model_address(
                self.info.run_id, {found.model_id: found.step for found in self.outputs.model_outputs}, tags
            ),
            is_deleted=self.info.lifecycle_stage == "deleted",
        )


class Tracking:
    """An MLflow server. Every failure to reach or persuade it is a `TrackingError`."""

    def __init__(self, session: aiohttp.ClientSession, uri: str, public_url: str) -> None:
        """Use a session that is the caller's to close; `public_url` is where people open the UI."""
        self._session, self._uri, self._public_url = session, uri, public_url
        # Before the session's own pool, for whose connections a request would wait in its own time.
        self._limit = asyncio.Semaphore(_REQUESTS_AT_ONCE)
        self._limit_of_artifacts = asyncio.Semaphore(_OF_ARTIFACTS)

    def url_of(self, run: Run) -> str:
        """Return the address of a run's page."""
        return f"{self._public_url}/#/experiments/{run.experiment_id}/runs/{run.id}"

    async def runs_of_pod(self, pod_uid: str) -> list[Run]:
        """Find the runs of an attempt, in whichever experiments they are."""
        return await self.search(f"tags.`{POD_TAG}` = '{pod_uid}'")

    async def runs_of_resource(self, uid: str) -> list[Run]:
        """Find all runs of a TrainingRun."""
        return await self.search(f"tags.`{UID_TAG}` = '{uid}'")

    async def results(self, expression: str, installation: str) -> list[Run]:
        """Find the runs that an expression is about, of trainings of one operator."""
        return await self.search(f"{expression} AND tags.`{INSTALLATION_TAG}` = '{installation}'")

    async def open_runs(self, installation: str) -> list[Run]:
        """Find the runs of all resources of an operator that MLflow takes to be going on."""
        return [
            run
            for status in RunStatus
            if status.is_open
            for run in await self.search(
                f"tags.`{INSTALLATION_TAG}` = '{installation}' AND attributes.status = '{status.value}'"
            )
        ]

    async def live_ids(self, run_ids: Sequence[str]) -> set[str]:
        """Return which of these runs are there and not deleted."""
        found: set[str] = set()
        for first in range(0, len(run_ids), _IDS_IN_A_SEARCH):
            listed = ", ".join(f"'{run_id}'" for run_id in run_ids[first : first + _IDS_IN_A_SEARCH])
            found |= {run.id for run in await self.search(f"attributes.run_id IN ({listed})")}
        return found

    async def run(self, run_id: str) -> Run:
        """Read a run, deleted or not."""
        answer = await self.call("GET", f"{API}/runs/get", params={"run_id": run_id})
        return _Run.model_validate(answer["run"]).plain()

    async def live_run(self, run_id: str) -> Run | None:
        """Read a run; None where it was deleted, for good or not."""
        try:
            found = await self.run(run_id)
        except TrackingError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return None
        return None if found.is_deleted else found

    async def create_run(self, experiment: str, name: str, tags: Mapping[str, str], started_at: datetime) -> Run:
        """Create a run in an experiment, which is created if it is not there."""
        answer = await self.call(
            "POST",
            f"{API}/runs/create",
            json={
                "experiment_id": await self._experiment_id(experiment),
                "run_name": name,
                "start_time": int(started_at.timestamp() * 1000),
                "tags": to_tags(tags),
            },
        )
        return _Run.model_validate(answer["run"]).plain()

    async def schedule(self, run: Run) -> None:
        """Say of a run that was just made that it has not begun."""
        await self.call("POST", f"{API}/runs/update", json={"run_id": run.id, "status": RunStatus.SCHEDULED.value})

    async def apply(self, corrections: list[Correction]) -> None:
        """Make runs say what they should, and read each back.

        Raises:
            TrackingError: also where a run still says something else afterwards.

        """
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(correction: Correction) -> None:
            async with limit:
                await self._correct(correction)

        await asyncio.gather(*(one(correction) for correction in corrections))

    async def log_inputs(self, run: Run, datasets: Sequence[JsonObject]) -> None:
        """Say which datasets a run was trained with; what it has already changes nothing."""
        if datasets:
            await self.call("POST", f"{API}/runs/log-inputs", json={"run_id": run.id, "datasets": [*datasets]})

    async def artifacts(self, run: Run, folder: str) -> set[str]:
        """Return the paths of what a run has in a folder."""
        asked = {"run_id": run.id, "path": folder}
        async with self._limit_of_artifacts:
            answer = await self.call("GET", f"{API}/artifacts/list", params=asked)
        return {str(found.get("path")) for found in answer.get("files", [])}

    async def upload(self, run: Run, path: str, content: bytes) -> None:
        """Store an artifact of a run through the server's proxy.

        Raises:
            ArtifactsUnreachable: the run's are kept elsewhere.

        """
        require_reachable(run)
        _, _, root = run.artifact_uri.partition(":")
        # The part after the scheme may begin with //host/.
        stripped = "".join(root.split("/", 3)[3:]) if root.startswith("//") else root.lstrip("/")
        where = f"api/2.0/mlflow-artifacts/artifacts/{quote(f'{stripped}/{path}')}"
        async with self._limit_of_artifacts:
            await self.call("PUT", where, data=content)

    async def _correct(self, correction: Correction) -> None:
        run_id = correction.run.id
        if tags := correction.new_tags:
            await self.call(
                "POST",
                f"{API}/runs/log-batch",
                json={
                    "run_id": run_id,
                    "tags": to_tags(tags),
                },
            )
        if not correction.changes_status:
            return
        await self.call(
            "POST",
            f"{API}/runs/update",
            json={"run_id": run_id, "status": correction.status.value, "end_time": correction.end_time_ms},
        )
        # An update with a status that MLflow does not know is answered with success and ignored.
        found = (await self.run(run_id)).status
        if found is not correction.status:
            raise TrackingError(f"run {run_id} says {found} after it was set to {correction.status}")

    async def search(self, expression: str) -> list[Run]:
        """Find the runs that MLflow's filter names, in whichever experiments they are."""
        experiments: list[JsonValue] = [found async for found in self._experiment_ids()]
        if not experiments:
            return []
        runs: list[Run] = []
        token = None
        while True:
            answer = await self.call(
                "POST",
                f"{API}/runs/search",
                json={
                    "experiment_ids": experiments,
                    "filter": expression,
                    "max_results": _PAGE,
                    **({"page_token": token} if token else {}),
                },
            )
            runs += [_Run.model_validate(found).plain() for found in answer.get("runs", [])]
            token = answer.get("next_page_token")
            if not token:
                return runs

    async def _experiment_ids(self) -> AsyncIterator[str]:
        token = None
        while True:
            answer = await self.call(
                "POST",
                f"{API}/experiments/search",
                json={"max_results": _PAGE, **({"page_token": token} if token else {})},
            )
            for found in answer.get("experiments", []):
                yield str(found["experiment_id"])
            token = answer.get("next_page_token")
            if not token:
                return

    async def _experiment_id(self, name: str) -> str:
        async def existing() -> str:
            answer = await self.call("GET", f"{API}/experiments/get-by-name", params={"experiment_name": name})
            found = answer["experiment"]
            if found.get("lifecycle_stage") == "deleted":
                raise ExperimentDeleted(name, str(found["experiment_id"]))
            return str(found["experiment_id"])

        try:
            return await existing()
        except TrackingError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        try:
            return str((await self.call("POST", f"{API}/experiments/create", json={"name": name}))["experiment_id"])
        except TrackingError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
            return await existing()

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        json: JsonObject | None = None,
        data: bytes | None = None,
    ) -> dict[str, Any]:
        """Make a request, and return what is answered.

        Raises:
            TrackingError: MLflow does not answer, or refuses.

        """
        url = f"{self._uri}/{path}"
        try:
            async with (
                self._limit,
                self._session.request(method, url, params=params, json=json, data=data, timeout=_TIMEOUT) as answer,
            ):
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    text = await answer.text()
                    raise refusal(method, path, answer.status, text)
                found: dict[str, Any] = await answer.json(content_type=None) or {}
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            what = str(error) or type(error).__name__
            said = f"MLflow at {self._uri} did not answer {method} {path}: {what}"
            raise TrackingError(without_logins(said)) from error


def require_reachable(run: Run) -> None:
    """See that a run's artifacts go by way of MLflow.

    Raises:
        ArtifactsUnreachable: they do not.

    """
    if not run.artifact_uri.startswith("mlflow-artifacts:"):
        raise ArtifactsUnreachable(
            f"run {run.id} keeps its artifacts at {run.artifact_uri}, which only its own client reaches: "
            "start MLflow with --serve-artifacts"
        )


def to_tags(tags: Mapping[str, str]) -> list[JsonValue]:
    """Return tags as requests have them."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def refusal(method: str, path: str, status: int, text: str) -> TrackingError:
    """Return what MLflow, or whatever answers in its place, said to a request that it refused."""
    try:
        body = _Refusal.model_validate_json(text)
    except ValueError:
        # A page is for a browser: what is to be read of it is the code.
        body = _Refusal(message=responses.get(status, "a page") if text.lstrip().startswith("<") else text[:200])
    return TrackingError(f"MLflow answered {status} to {method} {path}: {body.message}", status, body.error_code)


class _Refusal(_Lenient):
    error_code: str = ""
    message: str = ""
