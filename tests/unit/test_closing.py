"""Which runs of sweeps are closed when their sweeps are gone."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from runyard.api.model import JsonObject
from runyard.api.records import SWEEP_NAMESPACE_TAG, SWEEP_TAG, SWEEP_UID_TAG, Run, RunStatus
from runyard_operator.cluster import Cluster, ClusterError
from runyard_operator.objects import Key
from runyard_operator.trainingsweeps.choosing import Unavailable
from runyard_operator.trainingsweeps.closing import Closer
from runyard_operator.trainingsweeps.parents import Parents
from runyard_operator.trainingsweeps.sight import Sights
from tests.support.factories import mlflow_run


def of_sweep(name: str, namespace: str) -> Run:
    tags = {SWEEP_NAMESPACE_TAG: namespace, SWEEP_TAG: name, SWEEP_UID_TAG: f"uid-of-{name}"}
    return mlflow_run(f"run-of-{name}", tags=tags)


@dataclass
class Server:
    """An API server that has some sweeps, and refuses to tell of some namespaces; and an MLflow."""

    sweeps: set[str]
    refused: str
    runs: list[Run]
    closed: list[str] = field(default_factory=list)

    async def training_sweep(self, namespace: str, name: str) -> JsonObject | None:
        if namespace == self.refused:
            raise ClusterError("trainingsweeps is forbidden", 403)
        return {"metadata": {"name": name, "uid": f"uid-of-{name}"}} if name in self.sweeps else None

    async def open_runs(self) -> list[Run]:
        return self.runs

    async def close(self, run: Run, status: RunStatus) -> None:
        assert status is RunStatus.KILLED
        self.closed.append(run.id)


async def test_a_namespace_that_may_not_be_read_keeps_no_other_runs_open() -> None:
    runs = [of_sweep("gone", "a"), of_sweep("unknown", "lost"), of_sweep("there", "a"), of_sweep("gone-too", "b")]
    server: Any = Server({"there"}, "lost", runs)
    closer = Closer(cast("Cluster", server), cast("Parents", server), Sights(), ())
    with pytest.raises(ClusterError, match="forbidden"):
        await closer.close_all()
    assert server.closed == ["run-of-gone", "run-of-gone-too"]
    closer.namespaces = ("a",)
    server.closed.clear()
    await closer.close_all()
    assert server.closed == ["run-of-gone"]


@dataclass
class Studies:
    """What has chosen trials, and may not answer."""

    left: list[str] = field(default_factory=list)

    async def leave(self, key: Key) -> None:
        self.left.append(key.name)
        if key.name == "gone":
            raise Unavailable("Optuna's database did not answer within 20 s")


async def test_what_chose_the_trials_hears_of_it_and_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    runs = [of_sweep("gone", "a"), of_sweep("there", "a"), of_sweep("gone-too", "b")]
    server: Any = Server({"there"}, "lost", runs)
    studies: Any = Studies()
    closer = Closer(cast("Cluster", server), cast("Parents", server), Sights(), (), studies)
    await closer.close_all()
    assert server.closed == ["run-of-gone", "run-of-gone-too"]
    assert studies.left == ["gone", "gone-too"]
    assert "the trials of the sweep a/gone go on in its study: Optuna's database did not answer" in caplog.text
