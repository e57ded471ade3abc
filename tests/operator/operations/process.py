"""An operator's process, with settings of its own: several can run side by side."""

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.apiserver import free_port
from tests.support.waiting import wait_for


@dataclass
class Operator:
    """A program that runs, until a test ends it."""

    log: Path
    port: int
    process: subprocess.Popen[bytes]

    def ask(self, path: str) -> tuple[int, str]:
        """GET a path of the port for probes; the status is 0 where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values whose labels are at least these."""
        total = 0.0
        for line in self.ask("/metrics")[1].splitlines():
            found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")).items():
                total += float(found[2])
        return total

    @property
    def is_leading(self) -> bool:
        """Whether it says that it leads."""
        return self.metric("runyard_leader") == 1

    def wait_until_leading(self, timeout_seconds: float = 30) -> None:
        """Wait until it leads and its first lists are done."""
        wait_for("it leads", lambda: self.is_leading and self.ask("/readyz")[0] == 200, timeout_seconds, 0.05)

    def wait_until_standing_by(self) -> None:
        """Wait until it has seen that another leads."""
        wait_for("it stands by", lambda: "standing by" in self.text and self.ask("/readyz")[0] == 200)

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ends(self, timeout_seconds: float = 30) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(timeout_seconds)


@dataclass(frozen=True)
class Operators:
    """Starts operators that share a Lease and what they watch."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (str(Path(sys.executable).parent / "runyard-operator"),)

    @contextmanager
    def start(self, identity: str, **settings: str) -> Iterator[Operator]:
        """Run one for the length of a with block."""
        port, log = free_port(), self.home / f"{identity}.log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
        environment |= self.settings | settings | {"RUNYARD_IDENTITY": identity, "RUNYARD_HEALTH_PORT": str(port)}
        with log.open("wb") as out, subprocess.Popen(self.command, stdout=out, stderr=out, env=environment) as process:
            try:
                yield Operator(log, port, process)
            finally:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(30)
