"""What chaos does to the platform: one fault after another, chosen by chance."""

import random
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cluster.installation import Installation, on_node
from tests.support.kubectl import Kubectl


@dataclass
class Faults:
    """Does harm, and counts what was done: where there was nobody to be harmed nothing was."""

    installation: Installation
    trainings: Kubectl
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def strike(self) -> str:
        """Do one thing; return what it was."""
        acts: dict[str, tuple[int, Callable[[], bool]]] = {
            "operator killed": (5, lambda: self.installation.kill("operator")),
            "operator told to stop": (1, self._stop_operator),
            "MLflow killed": (2, lambda: self.installation.kill("mlflow")),
            "Postgres killed": (2, lambda: self.installation.kill("postgres")),
            "MinIO killed": (1, lambda: self.installation.kill("minio")),
            "training's pod deleted": (4, lambda: self._delete_pod(force=False)),
            "training's pod removed by force": (2, lambda: self._delete_pod(force=True)),
            "training's process killed": (3, self._kill_process),
        }
        [what] = self.chance.choices(list(acts), [weight for weight, _ in acts.values()])
        if not acts[what][1]():
            return f"{what}: there was none"
        self.done[what] += 1
        return what

    def _stop_operator(self) -> bool:
        pods = self.installation.pods("operator")
        for pod in pods:
            self.installation.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
        return bool(pods)

    def _delete_pod(self, *, force: bool) -> bool:
        pods = [pod for pod in self.trainings.items("pods", "runyard.dev/uid") if pod["status"]["phase"] == "Running"]
        if not pods:
            return False
        name = self.chance.choice(pods)["metadata"]["name"]
        how = ["--grace-period=0", "--force"] if force else []
        return self.trainings.attempt("delete", "pod", name, "--wait=false", *how).returncode == 0

    def _kill_process(self) -> bool:
        try:
            on_node("pkill", "-KILL", "--oldest", "-f", "^sh -c echo on")
        except subprocess.CalledProcessError:
            return False
        return True
