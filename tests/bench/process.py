"""The operator as its own process, and what the kernel says of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.apiserver import free_port, running

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_MIB = 1024


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    process_id: int
    log: Path

    def cpu_seconds(self) -> float:
        """Return what it has used so far, user and system together."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def memory_mib(self) -> float:
        """Return its resident memory now."""
        line = next(line for line in self._proc("status").splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / _MIB

    def peak_memory_mib(self) -> float:
        """Return the most resident memory that it ever had."""
        line = next(line for line in self._proc("status").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / _MIB

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process_id}/{name}").read_text()


@contextmanager
def operator(
    program: Path, kubeconfig: Path, namespace: str, folder: Path, tracking_uri: str = "http://127.0.0.1:9"
) -> Iterator[Operator]:
    """Run an operator for one namespace; where no pod runs it needs no MLflow, and the default address has none."""
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "RUNYARD_NAMESPACES": namespace,
        "RUNYARD_TRACKING_URI": tracking_uri,
        "RUNYARD_HEALTH_PORT": str(free_port()),
    }
    log = folder / f"operator-{namespace}.log"
    with running([str(program)], log, environment) as process:
        yield Operator(process.pid, log)
