"""The trainings that chaos meets: short, of every kind, and mostly without Python, which costs the node seconds."""

import random
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.cluster.training import manifest

Spec: TypeAlias = dict[str, Any]

_NEVER = 86400
# As many at a time as a node of two cores gets done.
_SMALL = {"requests": {"cpu": "50m"}}
_ASSIGNED = {"run": "Assigned"}
_GRACE = {"spec": {"terminationGracePeriodSeconds": 1}}

# A metric by which a run names the pod that logged it.
POD_METRIC = "pod"

# A run begun over REST and never ended, with the tags that MLflow's own client would take from the environment.
# A pod's way to MLflow may be open only a moment after it began. A word of a command has 1,024 bytes at most.
LOGS_RUN = """
import json, os, sys, time, urllib.error, urllib.request as web
def ask(path, body):
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/" + path
    request = web.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    for _ in range(20):
        try:
            return json.load(web.urlopen(request, timeout=10))
        except urllib.error.HTTPError as error:
            return print("refused:", error)
        except OSError as error:
            print("not yet:", error)
            time.sleep(0.5)
tags, now = json.loads(os.environ["MLFLOW_RUN_CONTEXT"]), int(time.time() * 1000)
listed = [{"key": key, "value": value} for key, value in tags.items()]
if made := ask("create", {"experiment_id": "0", "start_time": now, "tags": listed}):
    body = {"run_id": made["run"]["info"]["run_id"], "key": "pod", "timestamp": now}
    ask("log-metric", {**body, "value": int(tags["runyard.dev/pod"][:8], 16)})
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


def _sleeps(seconds: int, code: int = 0) -> str:
    return f"echo on; sleep {seconds}; exit {code}"


_STAYS = f"trap '' TERM; {_sleeps(_NEVER)}"


def _workers(chance: random.Random, seconds: int) -> Spec:
    script = f'echo on; [ "$RANK" = 1 ] && exit {chance.choice((0, 3))}; sleep {seconds}'
    return {"command": ["sh", "-c", script], "workers": 2}


def _logs_run(chance: random.Random, seconds: int) -> Spec:
    # One that fails is tried again, so that there is another attempt's metric to be mistaken for its own.
    return {"command": ["python", "-c", LOGS_RUN, str(seconds), str(chance.choice((0, 0, 1)))], "backoffLimit": 1}


def pod_number(uid: str) -> float:
    """Return what the metric of a pod says: the first 32 bits of its UID, which a float has exactly."""
    return float(int(uid[:8], 16))


def _shell(script: str, **spec: Any) -> Spec:
    return {"command": ["sh", "-c", script], **spec}


# By name: how often each comes, and what it is.
KINDS: dict[str, tuple[int, Callable[[random.Random, int], Spec]]] = {
    "succeeds": (8, lambda _, seconds: _shell(_sleeps(seconds))),
    "fails": (4, lambda chance, seconds: _shell(_sleeps(seconds, chance.choice((1, 3, 137, 143))))),
    "retried": (3, lambda _, seconds: _shell(_sleeps(min(seconds, 4), 1), backoffLimit=1)),
    "usage-error": (1, lambda _, seconds: _shell(_sleeps(min(seconds, 1), 2), backoffLimit=3)),
    "deadline": (2, lambda _, seconds: _shell(_sleeps(_NEVER), activeDeadlineSeconds=5 + seconds)),
    "ignores-sigterm": (
        1,
        lambda _, seconds: _shell(f"trap '' TERM; {_sleeps(_NEVER)}", activeDeadlineSeconds=5 + seconds),
    ),
    "logs-run": (4, _logs_run),
    "assigned": (2, lambda chance, seconds: _shell(_sleeps(seconds, chance.choice((0, 1))), tracking=_ASSIGNED)),
    "workers": (1, _workers),
    "suspended": (1, lambda _, seconds: _shell(_sleeps(seconds), suspend=True)),
    "deleted": (1, lambda _, __: _shell(_sleeps(_NEVER))),
}


def training(number: int, chance: random.Random) -> dict[str, Any]:
    """Return the TrainingRun of that number; its name tells its kind."""
    [name] = chance.choices(list(KINDS), [weight for weight, _ in KINDS.values()])
    made = KINDS[name][1](chance, chance.randint(0, 15))
    return manifest(f"{name}-{number}", podTemplate=_GRACE, resources=_SMALL, **made)
