"""A run started with `runyard.script.start_run` ends as the script does: real processes, signals and MLflow."""

import os
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest

from tests.support.forks import Interpreter, Process
from tests.support.waiting import wait_for

# What each script begins with; it says when it may be disturbed. `once` has the store fail a single time.
_BEGINNING = """
import os, sys, threading, time, mlflow
from pathlib import Path
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from runyard.script import start_run

def wait(*_, **__): Path("ready").touch(); time.sleep(60)

def once(name):
    working = getattr(SqlAlchemyStore, name)
    def hiccup(*_, **__):
        setattr(SqlAlchemyStore, name, working)
        raise MlflowException("a hiccup")
    setattr(SqlAlchemyStore, name, hiccup)
"""


class Script:
    """A script and the runs that it leaves in an experiment of its own."""

    def __init__(self, interpreter: Interpreter, store: mlflow.MlflowClient, folder: Path) -> None:
        self.interpreter, self.store, self.folder = interpreter, store, folder
        self.experiment = store.create_experiment(folder.name, artifact_location=(folder / "artifacts").as_uri())

    def start(self, text: str) -> Process:
        file = self.folder / "train.py"
        file.write_text(_BEGINNING + textwrap.dedent(text))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        own = {
            "MLFLOW_TRACKING_URI": self.store.tracking_uri,
            "MLFLOW_EXPERIMENT_NAME": self.folder.name,
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return self.interpreter.start(file, kept | own)

    def end(self, text: str) -> int:
        return self.start(text).wait()

    def disturbed(self, text: str, number: int) -> int:
        process = self.start(text)
        try:
            wait_for("the script waits", (self.folder / "ready").exists, poll_seconds=0.02)
        except TimeoutError as error:
            error.add_note(process.said)
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise
        process.send_signal(number)
        return process.wait()

    @property
    def said(self) -> str:
        return (self.folder / "train.out").read_text()

    @property
    def statuses(self) -> dict[str, str]:
        return {run.info.run_name: run.info.status for run in self.store.search_runs([self.experiment])}


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    with Interpreter() as found:
        yield found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}")


@pytest.fixture
def script(interpreter: Interpreter, client: mlflow.MlflowClient, tmp_path: Path) -> Script:
    return Script(interpreter, client, tmp_path)


@pytest.mark.parametrize(
    ("body", "code", "status"),
    [
        ("pass", 0, "FINISHED"),
        ("sys.exit(0)", 0, "FINISHED"),
        ("sys.exit()", 0, "FINISHED"),
        ("sys.exit(3)", 3, "FAILED"),
        ('sys.exit("no data")', 1, "FAILED"),
        ('sys.exit("")', 1, "FAILED"),
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
        for step in range(50): mlflow.log_metric("loss", 1 / (step + 1), step=step)
        wait()
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    (run,) = script.store.search_runs([script.experiment])
    assert len(script.store.get_metric_history(run.info.run_id, "loss")) == 50
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


@pytest.mark.parametrize(
    "end", ['mlflow.end_run("FAILED")', 'mlflow.MlflowClient().set_terminated(run.info.run_id, "FAILED")']
)
def test_an_end_that_the_script_gave_its_run_stays_and_the_run_is_not_active(script: Script, end: str) -> None:
    text = f"""
    with start_run(run_name="a") as run: {end}
    assert mlflow.active_run() is None
    """
    assert script.end(text) == 0
    assert script.statuses == {"a": "FAILED"}


@pytest.mark.parametrize("failing", ["", 'once("get_run")'])
def test_the_run_around_a_block_goes_on_whatever_the_block_did_to_its_own(script: Script, failing: str) -> None:
    text = f"""
    with mlflow.start_run(run_name="outer") as outer:
        with start_run(run_name="inner", nested=True):
            mlflow.end_run()
            {failing}
        assert mlflow.active_run() is outer
    """
    assert script.end(text) == 0, script.said
    assert script.statuses == {"outer": "FINISHED", "inner": "FINISHED"}


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
    def train():
        with start_run(run_name="a"): pass
    thread = threading.Thread(target=train); thread.start(); thread.join()
    """
    assert script.end(text) == 0
    assert script.statuses == {"a": "FINISHED"}


def test_a_signal_while_another_thread_starts_a_run_ends_the_main_threads_block(script: Script) -> None:
    text = """
    from unittest.mock import patch
    done = threading.Event()
    def slow(**_): Path("ready").touch(); done.wait(30); raise ValueError
    def train():
        with patch("mlflow.start_run", slow), start_run(run_name="inner"): pass
    with start_run(run_name="outer"):
        thread = threading.Thread(target=train); thread.start()
        try: time.sleep(20)
        finally: done.set()
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    assert script.statuses == {"outer": "KILLED"}


@pytest.mark.parametrize("after", ["pass", "raise ValueError"])
def test_a_signal_that_the_block_swallows_ends_the_script_at_the_blocks_end(script: Script, after: str) -> None:
    text = f"""
    with start_run(run_name="a"):
        try: wait()
        except BaseException: pass
        {after}
    Path("went on").touch()
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    assert not (script.folder / "went on").exists()
    assert script.statuses == {"a": "KILLED"}


def test_an_exit_code_that_a_script_chose_when_it_was_told_to_end_is_its_own(script: Script) -> None:
    text = """
    with start_run(run_name="a"):
        try: wait()
        except SystemExit: sys.exit(0)
    """
    assert script.disturbed(text, signal.SIGTERM) == 0
    assert script.statuses == {"a": "KILLED"}


@pytest.mark.parametrize(("body", "status"), [("pass", "FINISHED"), ("raise ValueError", "FAILED")])
def test_a_signal_while_the_run_ends_is_raised_when_it_has(script: Script, body: str, status: str) -> None:
    text = f"""
    def slow(): Path("ready").touch(); time.sleep(1)
    for name in "ab":
        try:
            with start_run(run_name=name):
                mlflow.flush_async_logging = slow
                {body}
        except ValueError: pass
    """
    assert script.disturbed(text, signal.SIGTERM) == 143
    assert script.statuses == {"a": status}
    assert ("ValueError" in script.said) == (status == "FAILED")


def test_an_interruption_while_the_run_ends_cuts_short_the_logging_alone(script: Script) -> None:
    text = """
    with start_run(run_name="outer"):
        mlflow.start_run(run_name="inner", nested=True)
        mlflow.flush_async_logging = wait
        raise ValueError
    """
    assert script.disturbed(text, signal.SIGINT) == -signal.SIGINT
    assert script.statuses == {"outer": "FAILED", "inner": "FAILED"}


def test_a_forked_process_ends_by_a_signal_as_ever_and_the_run_is_not_its_to_end(script: Script) -> None:
    text = """
    import signal
    try:
        with start_run(run_name="a") as run:
            if not os.fork(): raise LookupError
            os.wait()
            told = os.fork()
            if not told: wait()
            while not Path("ready").exists(): time.sleep(0.01)
            os.kill(told, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == -signal.SIGTERM
            assert mlflow.get_run(run.info.run_id).info.status == "RUNNING"
    except LookupError: os._exit(0)
    """
    assert script.end(text) == 0, script.said
    assert script.statuses == {"a": "FINISHED"}


@pytest.mark.parametrize("failing", ["get_run", "update_run_info", "flush_async_logging"])
@pytest.mark.parametrize(("body", "code", "status"), [("1 / 0", 1, "FAILED"), ("pass", 0, "FINISHED")])
def test_one_error_of_mlflow_at_the_end_does_not_change_how_the_run_ends(
    script: Script, failing: str, body: str, code: int, status: str
) -> None:
    text = f"""
    with start_run(run_name="outer"):
        mlflow.start_run(run_name="inner", nested=True)
        once("{failing}")
        {body}
    """
    if (failing, body) == ("flush_async_logging", "pass"):
        code, status = 1, "FAILED"  # what was to be logged may be lost
    assert script.end(text) == code, script.said
    assert script.statuses == {"outer": status, "inner": status}


def test_an_mlflow_that_is_gone_at_the_end_does_not_hide_why_the_script_failed(script: Script) -> None:
    text = """
    with start_run(run_name="a"):
        mlflow.set_tracking_uri("http://127.0.0.1:9")
        raise ValueError("the data is empty")
    """
    assert script.end(text) == 1
    assert script.said.rstrip().endswith("ValueError: the data is empty")
    assert "could not be told that a run is FAILED" in script.said
