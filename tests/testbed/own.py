"""The project's own images: what each is built from, and a digest of it."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.testbed.cluster import Route
from tests.testbed.docker import Build
from tests.testbed.parts import IMAGES, PROGRAMS, PYTHON, VERSIONS, key
from tests.testbed.shell import CACHE

ROOT = Path(__file__).parents[2]
NAMES = ("mlflow", "operator", "runtime", "dashboard", "minio")
# Only built where it is asked for by name: PyTorch's libraries for CUDA make it 7 GB.
HEAVY = ("pytorch",)
INPUTS_LABEL = "runyard.dev/inputs"
_SOURCE = re.compile(r"--mount=source=([^,\s]+),")
_COPY = re.compile(r"^COPY (?!--from)(.+) \S+$", re.MULTILINE)


def image(name: str, way: Route) -> Build:
    """Return how one of the project's images is built on a route."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    dockerfile = ROOT / "images" / name / "Dockerfile"
    context, arguments, below = ROOT, {"BASE": way.python_image}, way.python_image
    if way is Route.PACKAGES:
        below = key(IMAGES[PYTHON])
    if name == "minio":
        arguments, below = {}, VERSIONS["minio"]
        if way is Route.PACKAGES:
            context, arguments = (CACHE / PROGRAMS["minio"].path).parent, {"BINARY": "prebuilt"}
    inputs = digest(dockerfile.read_text(), read(dockerfile.read_text()) if context == ROOT else {}, below)
    minutes = 10 if name in HEAVY else 1
    return Build(context, (f"runyard/{name}:{version}",), dockerfile, arguments, {INPUTS_LABEL: inputs}, minutes)


def sources(dockerfile: str) -> list[str]:
    """Return the files and folders of the context that a Dockerfile names."""
    copied = [path for paths in _COPY.findall(dockerfile) for path in paths.split()]
    return sorted({*_SOURCE.findall(dockerfile), *copied})


def read(dockerfile: str) -> dict[str, bytes]:
    """Return each file that a Dockerfile takes from the project, by its path from the root."""
    found = (file for source in sources(dockerfile) for file in _files(ROOT / source))
    return {str(file.relative_to(ROOT)): file.read_bytes() for file in found}


def _files(path: Path) -> Iterator[Path]:
    """Yield the files that .dockerignore lets into the context."""
    if path.is_file():
        yield path
        return
    for file in sorted(path.rglob("*")):
        parts = file.relative_to(ROOT).parts
        if file.is_file() and not any(re.fullmatch(r"__pycache__|\..*_cache|mlruns|\.runyard", part) for part in parts):
            yield file


def digest(dockerfile: str, files: Mapping[str, bytes], base: str) -> str:
    """Return what an image is known by: the same for the same recipe, files and base."""
    found = hashlib.sha256()
    pairs = (part for path in sorted(files) for part in (path.encode(), files[path]))
    for part in (dockerfile.encode(), base.encode(), *pairs):
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()
