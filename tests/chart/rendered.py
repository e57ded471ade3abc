"""The chart as objects, and the parts of them that tests look at."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.programs import program

CHART = Path(__file__).parents[2] / "charts" / "runyard"
VALUES = Path(__file__).parent / "values"
CONTROLLERS = {"Deployment", "StatefulSet", "Job"}
Object = dict[str, Any]


class _UniqueKeys(yaml.CSafeLoader):
    """Refuses a mapping that names a key twice, which a YAML reader otherwise takes for the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key is there twice: {keys} {node.start_mark}"
        return super().construct_mapping(node, deep)


def helm(*arguments: str, values: Object | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm, with values after those of the arguments; the caller looks at the exit code."""
    command = [shutil.which("helm") or program("helm"), *arguments, *([] if values is None else ["--values=-"])]
    return subprocess.run(
        command, input=yaml.safe_dump(values), capture_output=True, text=True, check=False, timeout=300
    )


@dataclass(frozen=True)
class Rendered:
    """What `helm template` gives for some values."""

    objects: list[Object]

    def of_kind(self, *kinds: str) -> list[Object]:
        """Return the objects of these kinds."""
        return [found for found in self.objects if found["kind"] in kinds]

    def one(self, kind: str, name: str) -> Object:
        """Return the object of this kind and name."""
        [found] = [found for found in self.of_kind(kind) if found["metadata"]["name"] == name]
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Yield the pod template of every controller, hooks included, under the controller's kind and name."""
        for found in self.of_kind(*CONTROLLERS):
            yield f"{found['kind']}/{found['metadata']['name']}", found["spec"]["template"]

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Yield every container, init containers included, with where it is."""
        for where, pod in self.pods():
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
                yield f"{where}/{container['name']}", container


def render(*names: str, settings: Iterable[str] = (), values: Object | None = None) -> Rendered:
    """Render the chart as release `runyard` with the values files of these names, `key=value` settings, and values."""
    chosen = [*(f"--values={VALUES / name}.yaml" for name in names), *(f"--set={setting}" for setting in settings)]
    done = helm("template", "runyard", str(CHART), "--namespace=runyard", *chosen, values=values)
    assert done.returncode == 0, done.stderr
    # The loader is a safe one.
    documents = yaml.load_all(done.stdout, Loader=_UniqueKeys)
    return Rendered([found for found in documents if found])


def environment(container: Object) -> dict[str, Any]:
    """Return a container's variables: the value, or where it comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container.get("env", [])}
