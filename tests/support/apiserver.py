"""A real Kubernetes API server on this machine, with its etcd and nothing else: no controllers, no nodes."""

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.support.cluster_api import ClusterApi
from tests.support.programs import program
from tests.support.waiting import wait_for

TOKEN = "admin-of-a-test-server"  # noqa: S105 the server is this process's own and listens on loopback


@dataclass(frozen=True)
class ApiServer:
    """A running server: its address and a kubeconfig with every right."""

    url: str
    kubeconfig: Path

    @cached_property
    def api(self) -> ClusterApi:
        """The server over HTTP, for what is asked too often for a process each."""
        return ClusterApi(self.kubeconfig)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl against the server; the caller looks at the exit code."""
        command = [program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)

    def is_ready(self) -> bool:
        """Whether the server says that it is ready."""
        try:
            return self.api.read("/readyz") == "ok"
        except OSError:
            return False


def free_port() -> int:
    """Return a TCP port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of a with block, with some variables of its own."""
    variables = {**os.environ, **(environment or {})}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=variables) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def api_server(*flags: str) -> Iterator[ApiServer]:
    """Start etcd and kube-apiserver in a folder of their own; stop both at the end.

    Further flags are kube-apiserver's, and come last, so that they win.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="apiserver-")))
        client, peer, port = free_port(), free_port(), free_port()
        etcd = f"http://127.0.0.1:{client}"
        key = home / "service-account.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (home / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        stack.enter_context(
            running(
                [
                    program("etcd"),
                    f"--data-dir={home / 'etcd'}",
                    f"--listen-client-urls={etcd}",
                    f"--advertise-client-urls={etcd}",
                    f"--listen-peer-urls=http://127.0.0.1:{peer}",
                    "--unsafe-no-fsync",
                ],
                home / "etcd.log",
            )
        )
        server = stack.enter_context(
            running(
                [
                    program("kube-apiserver"),
                    f"--etcd-servers={etcd}",
                    f"--cert-dir={home / 'certs'}",
                    "--bind-address=127.0.0.1",
                    f"--secure-port={port}",
                    "--service-cluster-ip-range=10.0.0.0/24",
                    "--service-account-issuer=https://kubernetes.default.svc",
                    f"--service-account-key-file={key}",
                    f"--service-account-signing-key-file={key}",
                    f"--token-auth-file={home / 'tokens.csv'}",
                    "--authorization-mode=RBAC",
                    # Nothing here makes the default service account that pods would wait for.
                    "--disable-admission-plugins=ServiceAccount",
                    *flags,
                ],
                home / "kube-apiserver.log",
            )
        )
        found = ApiServer(f"https://127.0.0.1:{port}", home / "kubeconfig")
        found.kubeconfig.write_text(kubeconfig(found.url, TOKEN))

        def ready() -> bool:
            if server.poll() is not None:
                raise RuntimeError((home / "kube-apiserver.log").read_text()[-2000:])
            return found.is_ready()

        wait_for("the API server is ready", ready, timeout_seconds=60)
        yield found


def kubeconfig(url: str, token: str) -> str:
    """Return a kubeconfig for the bearer of a token."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
    )
