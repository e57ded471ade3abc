"""`runyard run`, for real: small scripts as processes, and an MLflow database in a folder."""

import signal
import sys
import threading
from pathlib import Path

import pytest
import yaml

from runyard.api.trainingrun import TrainingRun
from tests.local.laptop import LEAVES_ITS_RUN_OPEN, Laptop, ends, statuses
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("environment")


def test_a_success_is_recorded(laptop: Laptop) -> None:
    found = laptop.run(
        """
        import mlflow, os, sys
        with mlflow.start_run():
            mlflow.log_params({"trees": os.environ["PARAM_trees"], "args": sys.argv[1:]})
            mlflow.log_metric("f1", 0.1 + 0.2)
            print("trained")
        """,
        parameters={"trees": 200},
        args=["--trees=$(params.trees)"],
    )
    [run] = laptop.runs()
    assert (found.status.phase, ends(found)) == ("Succeeded", [("Succeeded", "Completed", 0)])
    assert found.status.metrics == {"f1": "0.30000000000000004"}
    assert found.status.tracking is not None
    assert found.status.tracking.run_id == found.status.attempts[0].run_id == run.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"trees": "200", "args": "['--trees=200']"}
    assert run.data.tags["runyard.dev/uid"] == found.metadata.uid
    assert run.data.tags["runyard.dev/outcome"] == "Succeeded"
    assert laptop.log_of(run) == b"trained\n"
    applied = yaml.safe_load(
        Path(laptop.client.download_artifacts(run.info.run_id, "runyard/trainingrun.yaml")).read_text()
    )
    assert (applied["metadata"], applied["spec"]["parameters"]) == (
        {"name": "wine", "namespace": "default"},
        {"trees": 200},
    )


def test_a_run_left_open_by_a_failure_has_failed(laptop: Laptop) -> None:
    found = laptop.run(f"{LEAVES_ITS_RUN_OPEN}\n    print('no more', flush=True)\n    os._exit(3)")
    [run] = laptop.runs()
    assert (found.status.phase, ends(found)) == ("Failed", [("Failed", "Error", 3)])
    assert found.status.message == "exit code 3: no more"
    assert (run.info.status, run.data.tags["runyard.dev/exit-code"]) == ("FAILED", "3")
    assert run.info.end_time is not None


def test_a_script_that_ends_its_run_badly_but_exits_well_has_succeeded(laptop: Laptop) -> None:
    found = laptop.run("import mlflow, sys\nwith mlflow.start_run():\n    sys.exit(0)")
    assert (found.status.phase, statuses(laptop.runs())) == ("Succeeded", ["FINISHED"])


def test_a_script_that_never_calls_mlflow_has_a_run_nevertheless(laptop: Laptop) -> None:
    found = laptop.run("print('no MLflow')")
    [run] = laptop.runs()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "wine-1")
    assert laptop.client.get_experiment(run.info.experiment_id).name == "wines"
    assert run.data.tags["runyard.dev/pod"] == found.status.attempts[0].uid
    assert laptop.log_of(run) == b"no MLflow\n"


def test_the_deadline_ends_it(laptop: Laptop) -> None:
    found = laptop.run("import signal; signal.pause()", activeDeadlineSeconds=1, backoffLimit=3)
    assert ends(found) == [("Failed", "DeadlineExceeded", 128 + signal.SIGTERM)]
    assert found.status.message == "spec.activeDeadlineSeconds passed before the training ended"
    assert statuses(laptop.runs()) == ["FAILED"]


def test_a_command_that_is_not_there_is_not_tried_again(laptop: Laptop) -> None:
    found = laptop.run(command=["no-such-program"], backoffLimit=2)
    assert ends(found) == [("Failed", "Error", 128)]
    assert found.status.message == "exit code 128: no-such-program cannot be started: No such file or directory"
    assert statuses(laptop.runs()) == ["FAILED"]


def test_wrong_arguments_are_not_tried_again(laptop: Laptop) -> None:
    found = laptop.run("import sys; sys.exit(2)", backoffLimit=2)
    assert ends(found) == [("Failed", "Error", 2)]


def test_a_text_that_no_process_can_be_given(laptop: Laptop) -> None:
    found = laptop.run(env=[{"name": "A", "value": "a\0b"}], tracking={"run": "Assigned"})
    assert ends(found) == [("Failed", "Error", 128)]
    assert found.status.message == "exit code 128: python cannot be started: embedded null byte"
    assert statuses(laptop.runs()) == ["FAILED"]


def test_a_retry_that_succeeds(laptop: Laptop) -> None:
    found = laptop.run(
        """
        import pathlib, sys
        marker = pathlib.Path("was-here")
        if not marker.exists():
            marker.touch()
            sys.exit("not yet")
        """,
        backoffLimit=1,
    )
    first, second = laptop.runs()
    assert ends(found) == [("Failed", "Error", 1), ("Succeeded", "Completed", 0)]
    assert [found.status.phase, *statuses([first, second])] == ["Succeeded", "FAILED", "FINISHED"]
    assert found.status.tracking is not None
    assert found.status.tracking.run_id == second.info.run_id
    assert (laptop.log_of(first), found.status.attempts[0].message) == (b"not yet\n", "not yet")


def test_retries_end(laptop: Laptop) -> None:
    found = laptop.run("raise SystemExit(7)", backoffLimit=2)
    assert ends(found) == [("Failed", "Error", 7)] * 3
    assert statuses(laptop.runs()) == ["FAILED"] * 3


def test_a_signal_is_an_exit_code_as_in_a_pod(laptop: Laptop) -> None:
    found = laptop.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert ends(found) == [("Failed", "Error", 137)]


def test_the_script_is_at_home_in_its_manifests_folder(laptop: Laptop) -> None:
    lines: list[bytes] = []
    laptop.run(
        """
        import os, sys
        print(os.getcwd(), sys.executable, os.environ["NOTE"], os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
        """,
        lines.append,
        env=[{"name": "NOTE", "value": "x=$(params.x)"}],
        parameters={"x": 1},
        podTemplate={"spec": {"containers": [{"name": "training", "env": [{"name": "NOTE", "value": "below"}]}]}},
    )
    assert b"".join(lines).decode().split() == [str(laptop.project), sys.executable, "x=1", "3"]


def test_references_are_what_they_are_in_a_pod(laptop: Laptop) -> None:
    lines: list[bytes] = []
    laptop.run(
        "import os, sys; print(sys.argv[1:], os.environ['B'])",
        lines.append,
        command=["python", "$(SCRIPT)"],
        args=["$(PARAM_p)", "$(params.p)", "$(HOME)", "$$(A)"],
        parameters={"p": "$(A)$$"},
        env=[{"name": "SCRIPT", "value": "train.py"}, {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}],
    )
    assert b"".join(lines) == b"['$(A)$$', '$(A)$$', '$(HOME)', '$(A)'] 1$(C)\n"


def test_output_comes_as_it_is_written(laptop: Laptop) -> None:
    """A progress bar ends no line until it is done: the script waits until its first part was seen."""
    seen = bytearray()

    def echo(part: bytes) -> None:
        seen.extend(part)
        if b"50%\r" in seen:
            (laptop.project / "seen").touch()

    script = """
        import pathlib, sys, time
        print("50%", end="\\r", flush=True)
        deadline = time.monotonic() + 60
        while not pathlib.Path("seen").exists():
            if time.monotonic() > deadline:
                sys.exit("nobody saw it")
            time.sleep(0.01)
        print("100%")
    """
    assert laptop.run(script, echo).status.phase == "Succeeded"
    assert bytes(seen) == b"50%\r100%\n"


def test_the_log_is_the_last_mebibyte(laptop: Laptop) -> None:
    laptop.run("for number in range(200_000): print(f'line {number}')")
    [run] = laptop.runs()
    log = laptop.log_of(run)
    assert len(log) == 1 << 20
    assert log.endswith(b"line 199998\nline 199999\n")


def test_nothing_of_it_is_left_running(laptop: Laptop) -> None:
    laptop.run(
        """
        import pathlib, subprocess, sys
        forever = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        pathlib.Path("pid").write_text(str(forever.pid))
        """
    )
    pid = int((laptop.project / "pid").read_text())
    wait_for("the process is gone", lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    """Whether a process is there and is not only waiting to be noticed as dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_it_runs_on_any_thread(laptop: Laptop) -> None:
    found: list[TrainingRun] = []
    thread = threading.Thread(target=lambda: found.append(laptop.run("print('hello')")))
    thread.start()
    thread.join(60)
    assert [run.status.phase for run in found] == ["Succeeded"]


def test_parameters_and_variables_come_from_the_template_too(laptop: Laptop) -> None:
    command = [sys.executable, "-c", "import os; print(os.environ['BELOW'], os.environ['PARAM_n'])"]
    container = {"name": "training", "command": command, "env": [{"name": "BELOW", "value": "$(params.n) trees"}]}
    template = {"spec": {"containers": [container]}}
    laptop.run(command=None, parameters={"n": 7}, podTemplate=template)
    assert laptop.log_of(laptop.runs()[0]) == b"7 trees 7\n"


def test_artifacts_of_an_experiment_that_the_script_makes_are_in_the_store(laptop: Laptop) -> None:
    laptop.run(f"    import mlflow\n    mlflow.set_experiment('other')\n{LEAVES_ITS_RUN_OPEN}")
    [run] = laptop.runs()
    assert laptop.client.get_experiment(run.info.experiment_id).name == "other"
    [greeting] = (laptop.store / "artifacts").rglob("greeting.txt")
    assert greeting.read_text() == "hello"
