"""What decided a result: code, packages, machine, seeds and data, as they were when it came about.

`collect` looks, `log` writes it to an MLflow run as well; `fingerprint` is the hash that two runs share when all that
decides their results is the same. docs/provenance.md specifies it such that another program can compute it.
"""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import file_digest, sha256
from pathlib import Path

from runyard.errors import ProvenanceUnavailable
from runyard.provenance.code import Code, find_code
from runyard.provenance.fingerprints import Recipe, fingerprint
from runyard.provenance.surroundings import Hardware, hardware, packages

__all__ = ["Code", "Hardware", "Provenance", "ProvenanceUnavailable", "Recipe", "collect", "fingerprint", "log"]

FOLDER = "runyard"
FORMAT = 1
FINGERPRINT_TAG = "runyard.dev/fingerprint"
DIRTY_TAG = "runyard.dev/uncommitted"
IMAGE_VARIABLE = "RUNYARD_IMAGE_DIGEST"
_COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Provenance:
    """What decided a result.

    Attributes:
        code: the commit, and what was changed since; None outside a git repository.
        script: digest of the program's file, sha256:…, where it is in no repository.
        image: digest of the container's image, sha256:…, where it is known.
        python: Python's version.
        packages: the version of each installed distribution by its normalised name (PEP 503).
        hardware: the machine.
        parameters: by name, as text.
        seeds: by name, as text.
        datasets: digests by name, sha256:….

    """

    code: Code | None
    script: str | None
    image: str | None
    python: str
    packages: dict[str, str]
    hardware: Hardware
    parameters: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """All of it that decides the result: not the machine, nor what an image settles already."""
        return Recipe(
            commit=self.code.commit if self.code else None,
            diff=self.code.diff_digest if self.code else None,
            script=self.script,
            image=self.image,
            python=None if self.image else self.python,
            packages={} if self.image else self.packages,
            parameters=self.parameters,
            seeds=self.seeds,
            datasets=self.datasets,
        )

    @property
    def fingerprint(self) -> str:
        """The hash of the recipe."""
        return fingerprint(self.recipe)

    def save(self, folder: Path) -> None:
        """Write provenance.json, requirements.txt and, where the code was changed, uncommitted.diff into a folder."""
        (folder / "provenance.json").write_text(json.dumps(self._about(), indent=2, ensure_ascii=False))
        lines = [f"{name}=={version}\n" for name, version in self.packages.items()]
        (folder / "requirements.txt").write_text("".join(lines))
        if self.code and self.code.diff:
            (folder / "uncommitted.diff").write_bytes(self.code.diff)

    def _about(self) -> dict[str, object]:
        code = self.code and {
            "commit": self.code.commit,
            "branch": self.code.branch,
            "address": self.code.address,
            "diff": self.code.diff_digest,
            "left_out": self.code.left_out,
        }
        return {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            "code": code,
            "script": self.script,
            "image": self.image,
            "python": self.python,
            "packages": self.packages,
            "hardware": asdict(self.hardware),
            "parameters": self.parameters,
            "seeds": self.seeds,
            "datasets": self.datasets,
        }


def collect(
    *,
    parameters: Mapping[str, object] | None = None,
    seeds: Mapping[str, object] | None = None,
    datasets: Mapping[str, Path | str] | None = None,
    folder: Path | None = None,
) -> Provenance:
    """Look at what decides the result of this process.

    Args:
        parameters: by name.
        seeds: by name.
        datasets: by name, files to take the SHA-256 of, or digests that are known (sha256:…).
        folder: where the code is; default: the program's own folder, or the current one in a notebook.

    Raises:
        ProvenanceUnavailable: a dataset cannot be read, or git fails.

    """
    script = _script()
    code = find_code(folder or (script.parent if script else Path.cwd()))
    return Provenance(
        code=code,
        script=_digest(script) if script and not code else None,
        image=os.environ.get(IMAGE_VARIABLE) or None,
        python=platform.python_version(),
        packages=packages(),
        hardware=hardware(),
        parameters=_texts(parameters),
        seeds=_texts(seeds),
        datasets={name: _dataset_digest(name, found) for name, found in (datasets or {}).items()},
    )


def log(
    *,
    seeds: Mapping[str, object] | None = None,
    datasets: Mapping[str, Path | str] | None = None,
    folder: Path | None = None,
) -> Provenance:
    """Collect, and write it to the active MLflow run, whose parameters so far count as the result's.

    The run is tagged with the fingerprint (runyard.dev/fingerprint), the commit (mlflow.source.git.commit) and
    whether there were changes since (runyard.dev/uncommitted); what else there is lies in its artifacts, in runyard/.

    Raises:
        ProvenanceUnavailable: no run is active, a dataset cannot be read, or git fails.
        mlflow.exceptions.MlflowException: the server does not take it.

    """
    import mlflow

    active = mlflow.active_run()
    if active is None:
        raise ProvenanceUnavailable("no run is active: call provenance.log inside mlflow.start_run()")
    run_id = active.info.run_id
    found = collect(seeds=seeds, datasets=datasets, folder=folder)
    found = replace(found, parameters=dict(mlflow.get_run(run_id).data.params))
    tags = {FINGERPRINT_TAG: found.fingerprint}
    if found.code:
        tags |= {_COMMIT_TAG: found.code.commit, DIRTY_TAG: str(found.code.is_dirty).lower()}
    mlflow.set_tags(tags)
    with tempfile.TemporaryDirectory() as scratch:
        found.save(Path(scratch))
        mlflow.log_artifacts(scratch, FOLDER, run_id=run_id)
    return found


def _script() -> Path | None:
    """Return the program's file; None in a notebook, a console, or where the program is not a file."""
    name = getattr(sys.modules["__main__"], "__file__", None)
    return Path(name).absolute() if name and Path(name).is_file() else None


def _texts(values: Mapping[str, object] | None) -> dict[str, str]:
    return {name: str(value) for name, value in (values or {}).items()}


def _dataset_digest(name: str, found: Path | str) -> str:
    if isinstance(found, str) and found.startswith("sha256:"):
        return found
    try:
        return _digest(Path(found))
    except OSError as error:
        raise ProvenanceUnavailable(
            f"datasets[{name!r}] is {str(found)!r}, which cannot be read ({error.strerror}): give a file, or the "
            "digest that sha256sum prints of it, after sha256:"
        ) from error


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return f"sha256:{file_digest(content, sha256).hexdigest()}"
