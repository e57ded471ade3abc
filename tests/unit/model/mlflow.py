"""MLflow: experiments and runs, asked over its REST API by the operator and directly by scripts."""

import re
from itertools import count
from typing import Any

from tests.unit.model.clock import Clock
from tests.unit.model.registry import Registry
from tests.unit.model.wire import Answer

Run = dict[str, Any]

_TAGGED = re.compile(r"tags\.`(?P<tag>.*?)` = '(?P<value>.*?)'")
_STATUS = re.compile(r"attributes\.status = '(\w+)'")
_LISTED = re.compile(r"attributes\.run_id IN \((.*)\)")
_OPERATOR = "made by the operator"


class Mlflow:
    """All runs by their ids; `changes` counts writes that changed something."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._ids = clock, count(1)
        self.experiments: dict[str, str] = {}
        self.deleted_experiments: set[str] = set()
        self.runs: dict[str, Run] = {}
        self.once_deleted: set[str] = set()
        """Runs that were deleted, restored or not."""
        self.artifacts: dict[str, bytes] = {}
        self.is_store_down = False
        self.is_store_silent = False
        """Whether what is stored is waited for until the request is given up."""
        self.artifact_root = "mlflow-artifacts:"
        self.changes = 0
        self.broken: list[str] = []
        self.registry = Registry()

    def start(self, experiment: str, tags: dict[str, str], start_ms: int | None = None, maker: str = "script") -> str:
        """Start a run in an experiment, which is created if it is not there."""
        run_id = f"run-{next(self._ids):04}"
        experiment_id = self.experiments.setdefault(experiment, str(len(self.experiments) + 1))
        self.runs[run_id] = {
            "info": {
                "run_id": run_id,
                "experiment_id": experiment_id,
                "status": "RUNNING",
                "start_time": int(self._clock.now().timestamp() * 1000) if start_ms is None else start_ms,
                "artifact_uri": f"{self.artifact_root}/{experiment_id}/{run_id}/artifacts",
            },
            "tags": dict(tags),
            "metrics": {},
            "maker": maker,
        }
        self.changes += 1
        return run_id

    def end(self, run_id: str, status: str) -> None:
        """Set how a run ended; of one that is deleted nothing changes."""
        if not self.is_live(run_id):
            return
        self.changes += self.runs[run_id]["info"]["status"] != status
        self.runs[run_id]["info"]["status"] = status

    def is_live(self, run_id: str) -> bool:
        return bool(self.runs[run_id]["info"].get("lifecycle_stage", "active") == "active")

    def set_deleted(self, run_id: str, *, is_deleted: bool) -> None:
        """Delete a run, or restore it."""
        self.runs[run_id]["info"]["lifecycle_stage"] = "deleted" if is_deleted else "active"
        self.once_deleted |= {run_id} if is_deleted else set()
        self.changes += 1

    def set_experiment_deleted(self, name: str, *, is_deleted: bool) -> None:
        """Delete an experiment with its runs, or restore it with all of them."""
        (self.deleted_experiments.add if is_deleted else self.deleted_experiments.discard)(name)
        for run_id, run in self.runs.items():
            if _experiment(run) == self.experiments[name]:
                self.set_deleted(run_id, is_deleted=is_deleted)
        self.changes += 1

    def tagged(self, tag: str, value: str) -> list[Run]:
        """Return the runs that carry a tag."""
        return [run for run in self.runs.values() if run["tags"].get(tag) == value]

    def made_by_operator(self, run: Run) -> bool:
        return bool(run["maker"] == _OPERATOR)

    def serve(self, path: str, asked: dict[str, Any], data: bytes | None) -> Answer:
        """Answer a request; `path` is what follows the API's root."""
        if "mlflow-artifacts" in path:
            return Answer(503, {}) if self.is_store_down else self._store(path, data or b"")
        what = "/".join(path.split("/")[-2:])
        if what.startswith("experiments/"):
            return self._serve_experiments(what, asked)
        if what.startswith(("registered-models/", "model-versions/")) or what.endswith("registered-models/alias"):
            self.changes += not what.endswith(("/get", "/search"))
            return self.registry.serve(what, asked)
        if what == "artifacts/list":
            inside = f"/{asked['run_id']}/artifacts/"
            return Answer(200, {"files": [{"path": it.split(inside)[1]} for it in self.artifacts if inside in it]})
        return self._serve_runs(what, asked)

    def _serve_runs(self, what: str, asked: dict[str, Any]) -> Answer:
        if what == "runs/search":
            found = [run for run in self._found(asked["filter"]) if _experiment(run) in asked["experiment_ids"]]
            found = [run for run in found if self.is_live(run["info"]["run_id"])]
            return Answer(200, {"runs": [_wire(run) for run in found]})
        if what == "runs/create":
            name = next(name for name, found in self.experiments.items() if found == asked["experiment_id"])
            if name in self.deleted_experiments:
                return Answer(400, {"error_code": "INVALID_PARAMETER_VALUE"})
            tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
            return Answer(200, {"run": _wire(self.runs[self.start(name, tags, asked["start_time"], _OPERATOR)])})
        run = self.runs[asked["run_id"]]
        if what != "runs/get" and not self.is_live(asked["run_id"]):
            return Answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "the run must be active"})
        if what == "runs/log-batch":
            self.changes += 1
            run["tags"] |= {tag["key"]: tag["value"] for tag in asked["tags"]}
        if what == "runs/update":
            self.end(asked["run_id"], asked["status"])
        return Answer(200, {"run": _wire(run)})

    def _store(self, path: str, content: bytes) -> Answer:
        before = self.artifacts.get(path, content)
        if before.startswith(b"log of ") and not content.startswith(b"log of "):
            self.broken.append(f"a log was replaced by {content!r}")
        if path.endswith("trainingrun.yaml") and b"image: wine" not in content:
            self.broken.append(f"a manifest says nothing: {content!r}")
        self.changes += self.artifacts.get(path) != content
        self.artifacts[path] = content
        return Answer(200, {})

    def _found(self, expression: str) -> list[Run]:
        if listed := _LISTED.fullmatch(expression):
            return [self.runs[item.strip("' ")] for item in listed[1].split(",")]
        tags, statuses = _TAGGED.findall(expression), _STATUS.findall(expression)
        assert len(tags) + len(statuses) == len(expression.split(" AND ")), expression
        return [
            run
            for run in self.runs.values()
            if dict(tags).items() <= run["tags"].items() and {run["info"]["status"]} >= set(statuses)
        ]

    def _serve_experiments(self, what: str, asked: dict[str, Any]) -> Answer:
        if what == "experiments/search":
            there = [found for name, found in self.experiments.items() if name not in self.deleted_experiments]
            return Answer(200, {"experiments": [{"experiment_id": found} for found in there]})
        if what == "experiments/create":
            return self._create_experiment(asked["name"])
        found = self.experiments.get(asked["experiment_name"])
        stage = "deleted" if asked["experiment_name"] in self.deleted_experiments else "active"
        if not found:
            return Answer(404, {})
        return Answer(200, {"experiment": {"experiment_id": found, "lifecycle_stage": stage}})

    def _create_experiment(self, name: str) -> Answer:
        if name in self.experiments:
            return Answer(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})
        self.experiments[name] = str(len(self.experiments) + 1)
        self.changes += 1
        return Answer(200, {"experiment_id": self.experiments[name]})


def _experiment(run: Run) -> str:
    return str(run["info"]["experiment_id"])


def _wire(run: Run) -> dict[str, Any]:
    tags = [{"key": key, "value": value} for key, value in run["tags"].items()]
    metrics = [{"key": key, "value": value} for key, value in run["metrics"].items()]
    return {"info": dict(run["info"]), "data": {"tags": tags, "metrics": metrics}}
