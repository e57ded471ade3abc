"""Making programs: from Go modules, and uv from its package."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.testbed.parts import HERE, VERSIONS, Program, search_path
from tests.testbed.shell import CACHE, TestbedError, run

# Unstamped programs report v0.0.0, which fails kubeadm's version skew checks.
_STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def is_made(program: Program) -> bool:
    """Whether the program lies in the cache."""
    return (CACHE / program.path).exists()


def make(program: Program) -> None:
    """Build a program; it appears under its name only when it is finished.

    Raises:
        TestbedError: the build failed, or Go is missing.

    """
    with scratch() as folder:
        if program.name == "uv":
            _from_pypi(program, folder)
        else:
            _from_module(program, folder)


def environment() -> dict[str, str]:
    """Return the variables that make the cache's programs, and the cluster, the ones that commands find."""
    path = search_path(CACHE, Path.exists, os.environ.get("PATH", ""))
    return {"PATH": path, "KUBECONFIG": str(CACHE / "kubeconfig")}


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder on the cache's file system, so that a finished file can be renamed or linked to its place."""
    root = CACHE / "tmp"
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


def _from_module(program: Program, folder: Path) -> None:
    if not shutil.which("go"):
        raise TestbedError(f"{program.name} is built with Go, which is not on PATH: install Go 1.25 or later")
    env = {"CGO_ENABLED": "0", "GOBIN": str(folder)}
    flags = ["-trimpath", "-ldflags", f"-s -w {_stamp() if program.family == 'kubernetes' else ''}"]
    if "@" in program.package:
        run(["go", "install", *flags, program.package], env=env)
    else:
        run(
            ["go", "build", *flags, "-o", folder / program.name, program.package],
            env=env,
            cwd=HERE / "go" / program.family,
        )
    place = CACHE / program.path
    place.parent.mkdir(parents=True, exist_ok=True)
    (folder / program.name).replace(place)


def _from_pypi(program: Program, folder: Path) -> None:
    wanted = f"{program.package}=={program.version}"
    run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder / "made", wanted])
    place = (CACHE / program.path).parent.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    (folder / "made").rename(place)


def _stamp() -> str:
    version = VERSIONS["kubernetes"]
    major, minor, _ = version.split(".")
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(f"-X {package}.{name}={value}" for package in _STAMPED for name, value in facts.items())
