"""The end of `runyard run`: what a script leaves behind, who listens badly, and when it is interrupted."""

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runyard.ledger import Ledger
from tests.local.laptop import LEAVES_ITS_RUN_OPEN, Laptop, ends, statuses
from tests.support.waiting import wait_for

pytestmark = pytest.mark.usefixtures("environment")

LEAVES_A_STRAY = f"""{LEAVES_ITS_RUN_OPEN}
    import pathlib, subprocess, sys
    stray = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    pathlib.Path("pid").write_text(str(stray.pid))
    print("trained")
    raise SystemExit(3)
"""


def test_what_leaves_its_session_and_holds_the_output_is_not_waited_for(laptop: Laptop) -> None:
    file = laptop.write(LEAVES_A_STRAY)
    with laptop.command("run", file, "-o", "json") as process:
        try:
            out, error = process.communicate(timeout=150)
        finally:
            os.kill(int((laptop.project / "pid").read_text()), signal.SIGKILL)
    assert (process.returncode, error) == (1, "trained\n")
    assert json.loads(out)["status"]["attempts"][0]["exitCode"] == 3
    [run] = laptop.runs()
    assert (run.info.status, laptop.log_of(run)) == ("FAILED", b"trained\n")


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(errno.ENOSPC, "No space left"), ValueError("closed")], ids=repr
)
def test_a_reader_that_is_gone_does_not_hold_up_the_training(laptop: Laptop, error: Exception) -> None:
    def echo(_: bytes) -> None:
        raise error

    found = laptop.run("print('x' * 1_000_000)", echo, activeDeadlineSeconds=30)
    assert found.status.phase == "Succeeded"
    assert len(laptop.log_of(laptop.runs()[0])) == 1_000_001


def test_an_interruption_ends_the_wait_for_a_slow_reader_and_costs_nothing(laptop: Laptop) -> None:
    """More than is read at once is written, and less than the pipe and the reader hold together."""
    is_read, pid = threading.Event(), laptop.project / "pid"

    def interrupt() -> None:
        wait_for("the script begins", pid.exists)
        wait_for("and is gone", lambda: not Path(f"/proc/{pid.read_text()}").exists())
        os.kill(os.getpid(), signal.SIGINT)

    def echo(_: bytes) -> None:
        is_read.wait(60)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    script = """
        import os, pathlib
        pathlib.Path("new").write_text(str(os.getpid()))
        pathlib.Path("new").rename("pid")
        print("x" * 100_000)
        raise SystemExit(3)
    """
    found = laptop.run(script, echo, backoffLimit=2)
    is_read.set()
    interrupter.join()
    assert ends(found) == [("Failed", "Error", 3)], "and no retry after it"
    assert len(laptop.log_of(laptop.runs()[0])) == 100_001


def test_an_interruption_while_the_process_is_started_leaves_none(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            if options.get("start_new_session"):
                started.append(self)
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    try:
        found = laptop.run("import signal; signal.pause()", backoffLimit=2, tracking={"run": "Assigned"})
    finally:
        [process] = started
        is_left = process.poll() is None
        process.kill()
    assert not is_left
    assert [(attempt.outcome, attempt.reason) for attempt in found.status.attempts] == [("Cancelled", "Cancelled")]
    assert statuses(laptop.runs()) == ["KILLED"]


def test_an_interruption_after_the_end_is_no_way_to_lose_the_outcome(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Ledger.add

    def interrupted(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        add(*arguments)

    monkeypatch.setattr(Ledger, "add", interrupted)
    found = laptop.run(f"{LEAVES_ITS_RUN_OPEN}\n    raise SystemExit(3)", backoffLimit=2)
    assert ends(found) == [("Failed", "Error", 3)], "and no retry after it"
    assert statuses(laptop.runs()) == ["FAILED"]


@contextmanager
def killed_when_late(process: subprocess.Popen[str]) -> Iterator[None]:
    """Keep a script that never gets where it should from holding up the tests."""
    timer = threading.Timer(150, process.kill)
    timer.start()
    yield
    timer.cancel()


def test_a_terminal_that_is_closed_says_so_more_than_once(laptop: Laptop) -> None:
    """The kernel and the shell each send SIGHUP: the second must not cost the training its grace period."""
    script = """
        import pathlib, signal, time
        signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
        print("ready", flush=True)
        deadline = time.monotonic() + 60
        while not pathlib.Path("told").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        print("saved", flush=True)
    """
    with laptop.command("run", laptop.write(script)) as process, killed_when_late(process):
        assert process.stdout is not None
        for line in ("ready\n", "asked\n"):
            assert process.stdout.readline() == line
            process.send_signal(signal.SIGHUP)
        (laptop.project / "told").touch()
        assert process.stdout.readline() == "saved\n"
        process.communicate(timeout=150)
    assert process.returncode == 130
    assert statuses(laptop.runs()) == ["KILLED"]


def test_under_nohup_a_closed_terminal_is_no_interruption(laptop: Laptop) -> None:
    script = """
        import pathlib, time
        print("ready", flush=True)
        deadline = time.monotonic() + 60
        while not pathlib.Path("told").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with laptop.command("run", laptop.write(script)) as process, killed_when_late(process):
        signal.signal(signal.SIGHUP, before)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        (laptop.project / "told").touch()
        process.communicate(timeout=150)
    assert process.returncode == 0
