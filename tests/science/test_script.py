"""A run started with `runyard.script.start_run` ends as the script does: real processes, signals and MLflow."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import mlflow
import pytest

from tests.support.waiting import wait_for

# What each script begins with; it says when it may be disturbed.
_BEGINNING = """
import sys, time, mlflow
from pathlib import Path
from runyard.script import start_run
def wait(): Path("ready").touch(); time.sleep(60)
"""


@pytest.fixture
def script(store: mlflow.MlflowClient, tmp_path: Path) -> "Script":
    return Script(store, tmp_path)


class Script:
    """A script and the runs that it leaves."""

    def __init__(self, store: mlflow.MlflowClient, folder: Path) -> None:
        self.store, self.folder = store, folder

    def start(self, text: str) -> subprocess.Popen[str]:
        file = self.folder / "train.py"
        file.write_text(_BEGINNING + textwrap.dedent(text))
        return subprocess.Popen(
            [sys.executable, str(file)], cwd=self.folder, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def end(self, text: str) -> int:
        with self.start(text) as process:
            process.communicate(timeout=120)
        return process.returncode

    def disturbed(self, text: str, *signals: int) -> int:
        with self.start(text) as process:
            wait_for("the script waits", (self.folder / "ready").exists, timeout_seconds=60)
            for number in signals:
                process.send_signal(number)
            process.communicate(timeout=120)
        return process.returncode

    @property
    def statuses(self) -> dict[str, str]:
        experiments = [found.experiment_id for found in self.store.search_experiments()]
        return {run.info.run_name: run.info.status for run in self.store.search_runs(experiments)}


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ("pass", 0, "FINISHED"),
        ("sys.exit(0)", 0, "FINISHED"),
        ("sys.exit()", 0, "FINISHED"),
        ("sys.exit(3)", 3, "FAILED"),
        ('sys.exit("no data")', 1, "FAILED"),
        ("1 / 0", 1, "FAILED"),
    ],
)
def test_a_run_ends_as_the_block_does(script: Script, body: str, code: int, status: str) -> None:
    assert script.end(f'with start_run(run_name="a"):\n    {body}') == code
    assert script.statuses == {"a": status}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -signal.SIGINT)]
)
def test_a_run_is_killed_by_a_signal(script: Script, number: int, code: int) -> None:
    assert script.disturbed('with start_run(run_name="a"):\n    wait()', number) == code
    assert script.statuses == {"a": "KILLED"}


def test_what_was_still_to_be_logged_is_logged_before_the_end(script: Script) -> None:
    text = """
    mlflow.config.enable_async_logging()
    with start_run(run_name="a"):
        for step in range(200): mlflow.log_metric("loss", 1 / (step + 1), step=step)
        wait()
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    (run,) = script.store.search_runs([script.store.get_experiment_by_name("science").experiment_id])
    assert len(script.store.get_metric_history(run.info.run_id, "loss")) == 200
    assert script.statuses == {"a": "KILLED"}


def test_runs_left_open_inside_end_alike_and_those_that_ended_keep_their_end(script: Script) -> None:
    text = """
    with start_run(run_name="outer"):
        with start_run(run_name="done", nested=True): pass
        mlflow.start_run(run_name="left open", nested=True)
        wait()
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    assert script.statuses == {"outer": "KILLED", "done": "FINISHED", "left open": "KILLED"}


def test_a_failure_that_is_caught_outside_an_inner_block_is_the_inner_runs_alone(script: Script) -> None:
    text = """
    with start_run(run_name="outer"):
        try:
            with start_run(run_name="inner", nested=True): raise ValueError
        except ValueError: pass
    """
    assert script.end(text) == 0
    assert script.statuses == {"outer": "FINISHED", "inner": "FAILED"}


def test_a_signal_after_an_inner_block_is_still_heard(script: Script) -> None:
    text = """
    with start_run(run_name="outer"):
        with start_run(run_name="inner", nested=True): pass
        wait()
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    assert script.statuses == {"outer": "KILLED", "inner": "FINISHED"}


def test_an_end_that_the_script_gave_its_run_stays(script: Script) -> None:
    assert script.end('with start_run(run_name="a"):\n    mlflow.end_run("FAILED")') == 0
    assert script.statuses == {"a": "FAILED"}


def test_a_handler_of_the_scripts_own_is_left_in_its_place(script: Script) -> None:
    text = """
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    with start_run(run_name="a"): wait()
    """
    assert script.disturbed(text, signal.SIGTERM) == 7
    assert script.statuses == {"a": "FAILED"}


def test_after_the_block_signals_do_what_they_did_before(script: Script) -> None:
    assert script.disturbed('with start_run(run_name="a"): pass\nwait()', signal.SIGTERM) == -signal.SIGTERM
    assert script.statuses == {"a": "FINISHED"}


def test_outside_the_main_thread_a_run_ends_with_its_block(script: Script) -> None:
    text = """
    import threading
    def train():
        with start_run(run_name="a"): pass
    thread = threading.Thread(target=train); thread.start(); thread.join()
    """
    assert script.end(text) == 0
    assert script.statuses == {"a": "FINISHED"}


def test_an_mlflow_that_is_gone_at_the_end_does_not_hide_why_the_script_failed(script: Script) -> None:
    text = """
    import os
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    with start_run(run_name="a"):
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        raise ValueError("the data is empty")
    """
    with script.start(text) as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.rstrip().endswith("ValueError: the data is empty")
    assert "could not be told that run" in said
