"""Sweeps while operators come and go, and MLflow is away."""

import signal
from pathlib import Path

from tests.operator.actors import Actors
from tests.operator.operations.process import Operators
from tests.operator.sweeps import Sweep
from tests.support.apiserver import api_server, free_port
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[3]


def test_an_operator_that_is_killed_makes_no_trial_twice(
    actors: Actors, operators: Operators, mlflow: MlflowRest
) -> None:
    sweep = Sweep(actors, mlflow)
    with operators.start("first") as operator:
        sweep.apply()
        uids = {name: trial["metadata"]["uid"] for name, trial in sweep.wait_for_trials("wine-0", "wine-1").items()}
        best = sweep.end("wine-0", 0.9)
        operator.send(signal.SIGKILL)
        operator.ends()
    sweep.end("wine-1", 0.5)
    with operators.start("second") as operator:
        operator.wait_until_leading(60)
        trials = sweep.wait_for_trials("wine-0", "wine-1", "wine-2")
        assert {name: trials[name]["metadata"]["uid"] for name in uids} == uids
        sweep.end("wine-2", 0.7)
        status = sweep.wait_for_phase("Succeeded")
        assert (status["best"]["trial"], status["best"]["runId"]) == ("wine-0", best)
        assert operator.metric("runyard_trainingsweep_outcomes_total", outcome="Succeeded") == 1
        assert operator.metric("runyard_trainingsweep_trials_total", outcome="Succeeded") >= 1
        wait_for("nothing is left to do", lambda: operator.metric("runyard_unsettled_trainingsweeps") == 0)
    assert [parent["info"]["status"] for parent in sweep.parents()] == ["FINISHED"]


def test_a_sweep_that_is_deleted_while_no_operator_looks_has_its_run_closed(
    actors: Actors, operators: Operators, mlflow: MlflowRest
) -> None:
    sweep = Sweep(actors, mlflow)
    with operators.start("first"):
        sweep.apply(maxTrials=1)
        sweep.wait_for_trials("wine-0")
        [parent] = sweep.parents()
    actors.delete("trainingsweep", "wine")
    with operators.start("second", RUNYARD_SWEEP_SECONDS="1"):
        run_id = parent["info"]["run_id"]
        closed = wait_for("its run is closed", lambda: mlflow.run(run_id)["info"]["status"] == "KILLED", 60)
    assert closed


def test_an_mlflow_that_is_away_delays_a_sweep_and_changes_nothing(
    actors: Actors, operators: Operators, tmp_path: Path
) -> None:
    port, home = free_port(), tmp_path / "mlflow"
    home.mkdir()
    with operators.start("operator", RUNYARD_TRACKING_URI=f"http://127.0.0.1:{port}"):
        sweep = Sweep(actors, MlflowRest(f"http://127.0.0.1:{port}"))
        sweep.apply(maxTrials=1)
        assert "where its run is to be made first" in sweep.wait_for_message("waits for MLflow")
        assert sweep.trials == {}
        with mlflow_server(port, home):
            sweep.wait_for_trials("wine-0")
            pod, _ = sweep.run("wine-0", 0.5)
        actors.end_pod(pod, 0)
        actors.end_job(actors.wait_for_job("wine-0"), "Complete")
        sweep.wait_for_message("wine-0 has ended, and waits for MLflow to say so")
        with mlflow_server(port, home):
            status = sweep.wait_for_phase("Succeeded")
            assert status["best"]["value"] == "0.5"
            assert [parent["info"]["status"] for parent in sweep.parents()] == ["FINISHED"]


def test_without_the_definition_of_sweeps_trainings_go_on(mlflow: MlflowRest, tmp_path: Path) -> None:
    with api_server() as server:
        crds = ROOT / "charts/runyard/files/crds"
        assert server.kubectl("apply", "--server-side", "-f", str(crds / "trainingruns.yaml")).returncode == 0
        wait_for("the definition is served", lambda: server.kubectl("get", "trainingruns").returncode == 0)
        settings = {"KUBECONFIG": str(server.kubeconfig), "RUNYARD_TRACKING_URI": mlflow.url}
        with Operators(tmp_path, settings).start("operator") as operator:
            operator.wait_until_leading(60)
            actors = Actors(server, "default")
            actors.apply("a")
            actors.wait_for_job("a")
            assert operator.text.count("there is no definition of trainingsweeps.runyard.dev in this cluster") == 1
            assert operator.ask("/healthz")[0] == 200
