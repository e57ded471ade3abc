"""The program as a pod runs it: what it is asked by a variable, and what it leaves as its last word."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from runyard.api.datasets import Dataset
from runyard.api.preparation import Wanted
from runyard.prepare.__main__ import prepare
from tests.support.repositories import git_server, new_repository
from tests.support.web import Answer, content, refusal, web_server

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address and the only commit of a repository."""
    found = new_repository(tmp_path / "served" / "wine")
    commit = found.commit(train="pass")
    with git_server(tmp_path / "served") as address:
        yield f"{address}/wine", commit


def start(wanted: dict[str, Any], into: Path, *more: str) -> subprocess.Popen[str]:
    """Start the program with the environment that it has in a pod."""
    command = [sys.executable, "-I", "-m", "runyard.prepare", "--into", str(into), "--report", str(into / "report")]
    environment = {"PATH": os.environ["PATH"], "HOME": str(into), "RUNYARD_PREPARE": json.dumps(wanted)}
    return subprocess.Popen(
        [*command, *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(wanted: dict[str, Any], into: Path) -> tuple[int, dict[str, Any], str]:
    """Return the exit code, the report and the log."""
    into.mkdir()
    with start(wanted, into) as process:
        log, _ = process.communicate(timeout=60)
    text = (into / "report").read_text()
    assert "\n" not in text
    return process.returncode, json.loads(text), log


def test_all_is_there(repository: tuple[str, str], tmp_path: Path) -> None:
    address, commit = repository
    with web_server({"/empty": content(b"")}) as web:
        datasets = [
            {"name": "a", "uri": f"{web}/empty", "digest": EMPTY},
            {"name": "b", "uri": (tmp_path / "served" / "wine" / "train.py").as_uri()},
        ]
        code, report, log = run({"source": {"git": address}, "datasets": datasets}, tmp_path / "there")
    digest = "sha256:d74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1"
    assert code == 0
    assert report == {
        "source": {"git": address, "commit": commit, "branch": "main"},
        "datasets": [{"name": "a", "digest": EMPTY}, {"name": "b", "digest": digest}],
    }
    assert log.splitlines() == [
        f"source: {address} at commit {commit}",
        f"dataset a: {web}/empty with {EMPTY}",
        f"dataset b: {datasets[1]['uri']} with {digest}",
    ]
    assert (tmp_path / "there" / "source" / "train.py").read_text() == "pass"
    assert (tmp_path / "there" / "datasets" / "a").read_bytes() == b""


def test_any_user_may_write_beside_the_code(repository: tuple[str, str], tmp_path: Path) -> None:
    run({"source": {"git": repository[0]}}, tmp_path / "there")
    source = tmp_path / "there" / "source"
    assert source.stat().st_mode & 0o777 == 0o777
    assert (source / "train.py").stat().st_mode & 0o666 == 0o666


def test_a_mismatch_is_reported_with_the_commit_and_without_the_other_data(
    repository: tuple[str, str], tmp_path: Path
) -> None:
    address, commit = repository
    uri = (tmp_path / "served" / "wine" / "train.py").as_uri()
    datasets = [{"name": "a", "uri": uri}, {"name": "b", "uri": uri, "digest": EMPTY}]
    code, report, log = run({"source": {"git": address}, "datasets": datasets}, tmp_path / "there")
    assert code == 2
    assert report["source"]["commit"] == commit
    assert report["datasets"] == []
    assert report["failure"]["reason"] == "DatasetMismatch"
    assert report["failure"]["message"].startswith(f"dataset b: wanted {EMPTY}, found sha256:")
    assert log.splitlines()[-1] == f"DatasetMismatch: {report['failure']['message']}"


def test_a_repository_that_is_not_there_is_reported(tmp_path: Path) -> None:
    code, report, _ = run({"source": {"git": "file:///nowhere"}}, tmp_path / "there")
    message = "'/nowhere' does not appear to be a git repository"
    assert (code, report["failure"]) == (2, {"reason": "SourceUnavailable", "message": message})


def counted(times: int, first: Answer, then: Answer) -> Answer:
    left = [times]

    def answer(request: BaseHTTPRequestHandler) -> None:
        left[0] -= 1
        (first if left[0] >= 0 else then)(request)

    return answer


def wanted(uri: str) -> Wanted:
    return Wanted(datasets=[Dataset(name="a", uri=uri)])


def test_a_server_that_comes_back_loses_no_attempt(tmp_path: Path) -> None:
    with web_server({"/a": counted(2, refusal(503), content(b""))}) as web:
        report, code = prepare(wanted(f"{web}/a"), tmp_path, pauses_seconds=(0, 0))
    assert (code, report.failure, [found.digest for found in report.datasets]) == (0, None, [EMPTY])


def test_a_server_that_does_not_come_back_may_do_so_for_the_next_attempt(tmp_path: Path) -> None:
    with web_server({"/a": counted(3, refusal(503), content(b""))}) as web:
        report, code = prepare(wanted(f"{web}/a"), tmp_path, pauses_seconds=(0, 0))
    assert code == 1
    assert report.failure
    assert report.failure.reason == "DatasetUnavailable"


def test_what_would_be_so_again_is_not_asked_for_again(tmp_path: Path) -> None:
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        content(b"another")(request)

    with web_server({"/a": answer}) as web:
        dataset = Dataset(name="a", uri=f"{web}/a", digest=EMPTY)
        _, code = prepare(Wanted(datasets=[dataset]), tmp_path, pauses_seconds=(0, 0))
    assert (code, asked) == (2, ["/a"])


def test_a_pod_that_is_stopped_stops_at_once(tmp_path: Path) -> None:
    asked, is_over = Event(), Event()

    def answer(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        is_over.wait(60)

    with (
        web_server({"/a": answer}) as web,
        start({"datasets": [{"name": "a", "uri": f"{web}/a"}]}, tmp_path) as process,
    ):
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        is_over.set()
