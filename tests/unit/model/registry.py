"""MLflow's registry of models, asked over its REST API by the operator."""

from typing import Any

from tests.unit.model.wire import Answer


class Registry:
    """Registered models by name: tags, aliases, and versions by number."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}

    def serve(self, what: str, asked: dict[str, Any]) -> Answer:
        """Answer a request; `what` is the end of its path."""
        if what == "model-versions/search":
            run_id = asked["filter"].split("'")[1]
            every = [version for model in self.models.values() for version in model["versions"].values()]
            return Answer(200, {"model_versions": [found for found in every if found["run_id"] == run_id]})
        model = self.models.get(asked["name"])
        if what == "registered-models/create":
            if model:
                return Answer(400, {"error_code": "RESOURCE_ALREADY_EXISTS"})
            self.models[asked["name"]] = {"tags": {}, "aliases": {}, "versions": {}}
            return Answer(200, {})
        if model is None:
            return Answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST"})
        return self._serve_model(what, asked, model)

    def _serve_model(self, what: str, asked: dict[str, Any], model: dict[str, Any]) -> Answer:
        match what:
            case "registered-models/get":
                tags = [{"key": key, "value": value} for key, value in model["tags"].items()]
                aliases = [{"alias": alias, "version": version} for alias, version in model["aliases"].items()]
                return Answer(200, {"registered_model": {"tags": tags, "aliases": aliases}})
            case "registered-models/set-tag":
                model["tags"][asked["key"]] = asked["value"]
            case "registered-models/alias":
                model["aliases"][asked["alias"]] = asked["version"]
            case "model-versions/create":
                version = str(len(model["versions"]) + 1)
                model["versions"][version] = {**asked, "version": version, "tags": {}}
                return Answer(200, {"model_version": model["versions"][version]})
            case "model-versions/get":
                return Answer(200, {"model_version": model["versions"][asked["version"]]})
            case "model-versions/set-tag":
                model["versions"][asked["version"]]["tags"][asked["key"]] = asked["value"]
        return Answer(200, {})
