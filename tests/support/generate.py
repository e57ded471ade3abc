"""Write what is derived: the CRD in the chart, the schema in the package, the Jobs that tests compare with.

python -m tests.support.generate          write the files
python -m tests.support.generate --check  exit 1, naming the files, if they are not what would be written
"""

import json
import sys
from pathlib import Path
from typing import cast

import yaml

from runyard.api import sweep_crd
from runyard.api.crd import custom_resource_definition
from runyard.api.environment import Platform
from runyard.api.model import JsonObject
from runyard.api.trainingrun import TrainingRun
from runyard_operator.jobs import job
from tests.support.apiserver import api_server

ROOT = Path(__file__).parents[2]
PLATFORM = Platform("http://runyard-mlflow.runyard.svc:5000", prepare_image="runyard/operator:0.1.0")


def files() -> dict[Path, str]:
    """Return each derived file's path, from the root, and its text."""
    with api_server() as server:
        document = cast("dict[str, dict[str, dict[str, JsonObject]]]", server.api.call("GET", "/openapi/v3/api/v1"))
    definition = custom_resource_definition(document["components"]["schemas"])
    schema = cast("JsonObject", definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])  # type: ignore[index, call-overload]
    of_sweeps = sweep_crd.custom_resource_definition(schema)
    crds = Path("charts/runyard/files/crds")
    return {
        crds / "trainingruns.yaml": yaml.safe_dump(definition, sort_keys=False, width=120),
        crds / "trainingsweeps.yaml": yaml.safe_dump(of_sweeps, sort_keys=False, width=120),
        Path("src/runyard/api/trainingruns.schema.json"): json.dumps(schema, indent=1) + "\n",
        **golden_jobs(),
    }


def golden_jobs() -> dict[Path, str]:
    """Return the Job of each example; a changed one is to be read before it is committed."""
    found = {}
    for path in sorted((ROOT / "tests/data/jobs").glob("*.in.yaml")):
        run = TrainingRun.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        name = path.name.replace(".in.", ".out.")
        text = yaml.safe_dump(job(run, PLATFORM), sort_keys=False, width=120, allow_unicode=True)
        found[path.relative_to(ROOT).with_name(name)] = text
    return found


def main() -> int:
    """Write or check; return the exit code."""
    stale = {path: text for path, text in files().items() if not _holds(ROOT / path, text)}
    for path, text in stale.items():
        print(path)  # noqa: T201
        if "--check" not in sys.argv:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text)
    return 1 if stale and "--check" in sys.argv else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
