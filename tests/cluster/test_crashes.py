"""The operator killed after each action, before it hears that it was done; it is a process of this machine for that."""

import contextlib
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Lock, Thread
from urllib.parse import urlsplit

import pytest

from tests.cluster.installation import Installation
from tests.cluster.training import NO_LOG, Trainings, of_script, of_shell
from tests.support.apiserver import free_port
from tests.support.mlflow_server import tags_of
from tests.support.programs import program
from tests.support.waiting import wait_for
from tests.support.web import QuietHandler, serving

pytestmark = pytest.mark.outage

# What asks, or says that somebody leads, and changes nothing.
_NO_ACTION = re.compile(r"/search$|/leases(/|$)|dryRun=All|selfsubject")
# What it does in these lives, besides telling events.
_ACTIONS = (
    "POST .*/services",
    "POST .*/jobs",
    "PATCH .*/jobs/",
    "PATCH .*/trainingruns/.*/status",
    "POST .*/runs/create",
    "POST .*/runs/log-batch",
    "POST .*/runs/update",
    "PUT .*/artifacts/.*log-",
)
_SECONDS = 600
# Four trainings take some forty; one that does the same thing anew after each death would never come to its end.
_MOST = 200


class Deaths:
    """Kills the operator each time it has done what it had not done before."""

    def __init__(self) -> None:
        self.after: list[str] = []
        self._seen: set[tuple[str, str]] = set()
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def next(self, process: subprocess.Popen[bytes]) -> None:
        """Be told of the process that is there now."""
        self._process = process

    def meets(self, method: str, path: str, body: bytes) -> bool:
        """Kill the operator for an action; two are one where nothing but numbers in them, such as times, differ."""
        if method == "GET" or _NO_ACTION.search(path):
            return False
        what = (f"{method} {path}", re.sub(r"\d+", "", body.decode(errors="replace")))
        with self._lock:
            if what in self._seen or not self._process or len(self.after) == _MOST:
                return False
            self._seen.add(what)
            self.after.append(what[0])
            self._process.kill()
            return True


def _between(server: str, deaths: Deaths) -> type[QuietHandler]:
    """Pass requests on, the operator's and, at MLflow, those of trainings; what kills the operator has no answer."""
    address = urlsplit(server)

    class Between(QuietHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            own = {"host", "connection", "authorization"}
            headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
            connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=_SECONDS)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request(self.command, self.path, body, {**headers, "Host": address.netloc})
                answer = connection.getresponse()
                is_trainings = "mlflow-python-client" in self.headers["User-Agent"]
                is_action = answer.status < http.HTTPStatus.MULTIPLE_CHOICES and not is_trainings
                if is_action and deaths.meets(self.command, self.path, body):
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in {"transfer-encoding", "connection"}:
                        self.send_header(name, value)
                self.end_headers()
                while part := answer.read1(65536):
                    self.wfile.write(part)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 the server's names

    return Between


@contextmanager
def _api_server(kubeconfig: Path) -> Iterator[str]:
    """Give an address of the cluster's API server that asks nobody who he is."""
    command = [program("kubectl"), f"--kubeconfig={kubeconfig}", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://{process.stdout.readline().split()[-1]}"
        finally:
            process.terminate()


@contextmanager
def _operator_that_dies(trainings: Trainings, folder: Path) -> Iterator[Deaths]:
    """Run an operator for one namespace, anew after each death."""
    network = ["docker", "network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}"]
    gateways = subprocess.run(network, check=True, capture_output=True, text=True).stdout.split()
    # Where pods reach this machine.
    here = next(gateway for gateway in gateways if "." in gateway)
    deaths, is_over = Deaths(), Event()
    namespace = trainings.kubectl.namespace
    assert namespace
    with ExitStack() as stack:
        cluster = stack.enter_context(_api_server(trainings.kubectl.kubeconfig))
        places = [
            stack.enter_context(serving(_between(server, deaths), (here, 0))).replace("127.0.0.1", here)
            for server in (cluster, trainings.mlflow.url)
        ]
        access = {
            "clusters": [{"name": "a", "cluster": {"server": places[0]}}],
            "users": [{"name": "a", "user": {"token": "none"}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "current-context": "a",
        }
        (folder / "kubeconfig").write_text(json.dumps(access))
        environment = {
            "PATH": "/usr/bin:/bin",
            "KUBECONFIG": str(folder / "kubeconfig"),
            "RUNYARD_TRACKING_URI": places[1],
            "RUNYARD_NAMESPACES": namespace,
            "RUNYARD_LEASE_NAMESPACE": namespace,
            # As a container that is started again, it is the Lease's holder by its name, and need not wait.
            "RUNYARD_IDENTITY": "dies",
            "RUNYARD_SWEEP_SECONDS": "5",
            "RUNYARD_HEALTH_PORT": str(free_port()),
        }
        command = [str(Path(sys.executable).parent / "runyard-operator")]

        def live() -> None:
            while not is_over.is_set():
                with (folder / "operator.log").open("ab") as log:
                    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                    deaths.next(process)
                    while process.poll() is None and not is_over.wait(0.05):
                        pass
                    process.terminate()
                    process.wait(30)

        life = Thread(target=live)
        life.start()
        try:
            yield deaths
        finally:
            is_over.set()
            life.join()
    said = (folder / "operator.log").read_text()
    assert "Traceback" not in said, said


def _assert_told_of_deleted(trainings: Trainings, uid: str) -> None:
    def killed() -> dict[str, str] | None:
        [run] = trainings.runs(uid)
        return tags_of(run) if run["info"]["status"] == "KILLED" else None

    tags = wait_for("the run of what was deleted is killed", killed, _SECONDS)
    assert (tags["runyard.dev/outcome"], tags["runyard.dev/reason"]) == ("Cancelled", "Cancelled")

    def stored() -> list[str] | None:
        [(_, _, files)] = trainings.mlflow.record(uid).values()
        return [text.decode() for path, text in files.items() if path.endswith(".txt")] or None

    # Who was to keep the log of a pod that goes may have died in that moment, and so may who knew the manifest.
    [log] = wait_for("its log, or why there is none, is stored", stored, 120)
    assert log.startswith(NO_LOG) or "waiting" in log, log


@pytest.mark.timeout(2 * _SECONDS)
def test_operator_killed_after_each_action(trainings: Trainings, installation: Installation, tmp_path: Path) -> None:
    # Of two clients of MLflow that make an experiment at once one fails.
    trainings.mlflow.call("mlflow/experiments/create", {"name": trainings.kubectl.namespace})
    brief = {"podTemplate": {"spec": {"terminationGracePeriodSeconds": 1}}}
    with installation.without("operator"), _operator_that_dies(trainings, tmp_path) as deaths:
        trainings.kubectl.apply(
            of_script("dies-open", "leaves_run_open.py", "2", ttlSecondsAfterFinished=_SECONDS),
            of_shell("dies-retried", "echo so far; exit 1", backoffLimit=1),
            of_shell("dies-together", "echo so far", workers=2),
            of_script("dies-deleted", "sleeps_in_run.py", **brief),
        )
        trainings.wait_until_running("dies-deleted", timeout_seconds=_SECONDS)
        uid = trainings.uid("dies-deleted")
        trainings.kubectl("delete", "trainingrun", "dies-deleted", "--wait=false")
        failed = ("Failed", "Error", 1)
        succeeded = ("Succeeded", "Completed", 0)
        for name, phase, reason, ends, printed, runs in (
            ("dies-open", "Succeeded", "Completed", [succeeded], ["done"], 1),
            ("dies-retried", "Failed", "Error", [failed, failed], ["so far", "so far"], 2),
            # Workers share one run.
            ("dies-together", "Succeeded", "Completed", [succeeded, succeeded], ["so far", "so far"], 1),
        ):
            done = trainings.finish(name, _SECONDS)
            done.assert_agreement(phase, reason, ends, *printed)
            assert len(done.runs) == runs
        wait_for("what was deleted is gone", lambda: not trainings.kubectl.items("jobs", f"runyard.dev/uid={uid}"), 60)
        _assert_told_of_deleted(trainings, uid)
    for action in _ACTIONS:
        assert any(re.match(action, each) for each in deaths.after), f"no death after {action}: {deaths.after}"
    assert len(deaths.after) < _MOST, deaths.after
