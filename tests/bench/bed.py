"""What the measurements are made on: an API server that writes down what it is asked, and the one client."""

import json
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.audit import POLICY, AuditLog
from tests.bench.load import Load, session
from tests.support.apiserver import TOKEN, ApiServer, api_server, kubeconfig
from tests.support.waiting import wait_for

CRD = Path(__file__).parents[2] / "charts/runyard/files/crds/trainingruns.yaml"
_USERS = ("load", "operator")


@dataclass(frozen=True)
class Bed:
    """A server, its log, and who speaks to it: the load, and the operator under its own name."""

    server: ApiServer
    audit: AuditLog
    load: Load
    operator_kubeconfig: Path
    folder: Path

    def namespace(self, prefix: str) -> str:
        """Create a namespace of one measurement's own; nothing is deleted, so that deleting costs no later one."""
        name = f"{prefix}-{uuid.uuid4().hex[:6]}"
        assert self.server.kubectl("create", "namespace", name).returncode == 0
        return name

    def server_cpu_seconds(self) -> float:
        """Return what the API server has used so far."""
        text = self.server.api.read("/metrics")
        return next(
            float(line.split()[1]) for line in text.splitlines() if line.startswith("process_cpu_seconds_total")
        )


@asynccontextmanager
async def bed() -> AsyncIterator[Bed]:
    """Start it all; stop it at the end."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        policy, tokens, log = folder / "policy.json", folder / "tokens.csv", folder / "audit.log"
        policy.write_text(json.dumps(POLICY))
        bearers = {"admin": TOKEN} | {user: user for user in _USERS}
        tokens.write_text("".join(f"{token},{user},{user},system:masters\n" for user, token in bearers.items()))
        flags = [f"--audit-policy-file={policy}", f"--audit-log-path={log}", f"--token-auth-file={tokens}"]
        server = stack.enter_context(api_server(*flags))
        applied = server.kubectl("apply", "--server-side", "-f", str(CRD))
        assert applied.returncode == 0, applied.stderr
        wait_for("the CRD is served", lambda: server.kubectl("get", "trainingruns").returncode == 0)
        config = folder / "kubeconfig"
        config.write_text(kubeconfig(server.url, "operator"))
        client = await stack.enter_async_context(session("load"))
        yield Bed(server, AuditLog(log), Load(client, server.url), config, folder)
