"""MLflow as the local runner uses it, through MLflow's own client."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runyard.api.addresses import without_logins
from runyard.api.environment import REQUEST_RETRIES
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.records import POD_TAG, Correction, Run, RunStatus, model_address
from runyard.errors import RunyardError, TrackingUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

# MLflow 3.17 has no public setting for where a database without a server keeps the artifacts of experiments that
# a script makes; without this they are in ./mlruns of whichever process made the experiment.
ARTIFACT_ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
DELETED = "deleted"
_LONGEST_CAUSE = 300
_PAGE = 1_000


class Store:
    """Runs in an MLflow server or database. Every failure to reach or persuade it is a `TrackingUnavailable`."""

    def __init__(self, uri: str, artifact_root: Path | None = None) -> None:
        """Open the store; an SQLite database that is not there is made, with its artifacts below `artifact_root`."""
        self._uri = uri
        with self._answering():
            if artifact_root is not None:
                os.environ[ARTIFACT_ROOT_VARIABLE] = str(artifact_root)
                artifact_root.parent.mkdir(parents=True, exist_ok=True)
        self._client = client(uri)

    def ensure_experiment(self, name: str) -> str:
        """Return the experiment's ID; create it if it is not there."""
        with self._answering():
            found = self._client.get_experiment_by_name(name)
            return str(found.experiment_id if found else self._client.create_experiment(name))

    def runs_of_pod(self, pod_uid: str) -> list[Run]:
        """Find the runs of an attempt, in whichever experiments they are."""
        return self.results(f"tags.`{POD_TAG}` = '{pod_uid}'")

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._uri

    def results(self, expression: str) -> list[Run]:
        """Find the runs that MLflow's filter names, in whichever experiments they are."""
        with self._answering():
            experiments = [found.experiment_id for found in self._client.search_experiments()]
            runs, token = list[Run](), None
            while True:
                page = self._client.search_runs(experiments, expression, max_results=_PAGE, page_token=token)
                runs += map(_plain, page)
                token = page.token
                if not token:
                    return runs

    def live_run(self, run_id: str) -> Run | None:
        """Read a run; None where it was deleted."""
        with self._answering():
            found = _plain(self._client.get_run(run_id))
        return None if found.is_deleted else found

    def create_run(self, experiment_id: str, name: str, tags: Mapping[str, str], started_at: datetime) -> Run:
        """Create a run."""
        start_ms = int(started_at.timestamp() * 1000)
        with self._answering():
            return _plain(self._client.create_run(experiment_id, start_ms, dict(tags), name))

    def schedule(self, run: Run) -> None:
        """Say of a run that was just made that it has not begun."""
        with self._answering():
            self._client.update_run(run.id, status=RunStatus.SCHEDULED.value)

    def upload(self, run: Run, path: str, content: bytes) -> None:
        """Store an artifact of a run."""
        with self._answering(f"store {path}"), tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / Path(path).name
            file.write_bytes(content)
            self._client.log_artifact(run.id, str(file), str(Path(path).parent))

    def log_inputs(self, run: Run, datasets: Sequence[JsonObject]) -> None:
        """Say which datasets a run was trained with, given as the REST API takes them."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        found = [
            DatasetInput(
                Dataset(**as_object(given["dataset"])),
                [InputTag(**as_object(tag)) for tag in as_list(given["tags"])],
            )
            for given in datasets
        ]
        if found:
            with self._answering():
                self._client.log_inputs(run.id, datasets=found)

    def tag(self, run: Run, name: str, value: str) -> None:
        """Write a tag to a run."""
        with self._answering():
            self._client.set_tag(run.id, name, value)

    def log_metric(self, run: Run, name: str, value: float) -> None:
        """Log a metric to a run."""
        with self._answering():
            self._client.log_metric(run.id, name, value)

    def history(self, run_id: str, metric: str) -> dict[int, float]:
        """Return a metric's values by step; of a step that was logged twice the last."""
        with self._answering():
            return {found.step: found.value for found in self._client.get_metric_history(run_id, metric)}

    def terminate(self, run: Run, status: RunStatus) -> None:
        """End a run now."""
        with self._answering():
            self._client.set_terminated(run.id, status.value)

    def reopen(self, run: Run) -> None:
        """Say of a run that had ended that it goes on."""
        with self._answering():
            self._client.update_run(run.id, status=RunStatus.RUNNING.value)

    def apply(self, corrections: Sequence[Correction]) -> None:
        """Make runs say what they should."""
        with self._answering():
            for correction in corrections:
                for key, value in correction.new_tags.items():
                    self._client.set_tag(correction.run.id, key, value)
                if correction.changes_status:
                    self._client.set_terminated(correction.run.id, correction.status.value, correction.end_time_ms)

    def _answering(self, asked: str = "be used") -> AbstractContextManager[None]:
        return answering(self._uri, asked)


def client(uri: str) -> MlflowClient:
    """Return MLflow's client of a server or database.

    Raises:
        TrackingUnavailable: it cannot be opened.

    """
    # MLflow's default waits for minutes; a person's own choice stays.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", REQUEST_RETRIES)
    # Its bars would be drawn for files of a few kilobytes, in the middle of what is printed.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Nor the address of a server's run that ends, before the data that `-o json` prints.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # Importing MLflow takes seconds, which a command that refuses a manifest should not cost.
    from mlflow import MlflowClient

    with answering(uri):
        return MlflowClient(tracking_uri=uri)


@contextmanager
def answering(uri: str, asked: str = "be used") -> Iterator[None]:
    """Say of whatever MLflow lets out that it cannot do what was asked: a `TrackingUnavailable`."""
    try:
        yield
    except RunyardError:
        raise  # it says by itself what is wrong
    except Exception as error:  # MLflow lets out what its stores raise: of requests, SQLAlchemy, boto3, the disk
        # A password that is cut off is no longer recognised.
        cause = without_logins(_cause(error))
        if len(cause) > _LONGEST_CAUSE:
            cause = f"{cause[:_LONGEST_CAUSE]}…"
        raise TrackingUnavailable(f"MLflow at {without_logins(uri)} cannot {asked}: {cause}") from error


def _cause(error: Exception) -> str:
    """Return why MLflow cannot be used, in one line that begins with what is behind all else.

    Of a server that cannot be reached MLflow's client says the request, the pool and the number of tries, and only then
    that its name is not known or that nothing listens there.
    """
    said = " ".join(str(error).split()) or type(error).__name__
    chain: list[BaseException] = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) and before not in chain:
        chain.append(before)
    # What requests raises is an OSError too, and says all again; it has no number.
    of_system = [found for found in chain if isinstance(found, OSError) and found.strerror]
    if not of_system:
        return said
    first = of_system[-1]
    if isinstance(first, socket.gaierror):
        return f"this machine does not know its name, which /etc/hosts can tell it: {first.strerror}: {said}"
    return said if first is error else f"{first.strerror}: {said}"


def moment_of(milliseconds: int) -> datetime:
    """Return a moment as MLflow writes it: in milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def model_of(run: MlflowRun) -> str | None:
    """Return the address of the model that a run logged last, if it logged any."""
    logged = run.outputs.model_outputs if run.outputs else []
    return model_address(run.info.run_id, {found.model_id: found.step for found in logged}, run.data.tags)


def _plain(run: MlflowRun) -> Run:
    info, tags = run.info, dict(run.data.tags)
    return Run(
        info.run_id,
        info.experiment_id,
        RunStatus(info.status),
        info.start_time,
        info.artifact_uri,
        tags,
        dict(run.data.metrics),
        dict(run.data.params),
        model=model_of(run),
        is_deleted=info.lifecycle_stage == DELETED,
    )
