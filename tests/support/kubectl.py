"""kubectl, as a person has it."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster_api import ClusterApi
from tests.support.programs import program


@dataclass(frozen=True)
class Kubectl:
    """kubectl with a kubeconfig and perhaps a namespace; a failure is an assertion with what it said."""

    kubeconfig: Path
    namespace: str | None = None

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it; return what it printed."""
        done = self.attempt(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it; the caller looks at the exit code."""
        where = [] if self.namespace is None else [f"--namespace={self.namespace}"]
        command = [shutil.which("kubectl") or program("kubectl"), f"--kubeconfig={self.kubeconfig}", *where, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=180)

    def within(self, namespace: str) -> "Kubectl":
        """Return the same in a namespace."""
        return replace(self, namespace=namespace)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects."""
        self("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Read an object: without kubectl, as this is asked again and again."""
        return _api(self.kubeconfig).get(kind, self.namespace or "default", name)

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """List objects, likewise."""
        return _api(self.kubeconfig).items(kind, self.namespace or "default", selector)


_api = cache(ClusterApi)
