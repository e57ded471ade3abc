"""What decided a result: code, packages, machine, seeds and data, as they were when it came about.

`collect` looks, `log` writes it to an MLflow run as well; `fingerprint` is the hash that two runs share when all that
decides their results is the same. docs/provenance.md specifies it such that another program can compute it.
"""

import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import file_digest, sha256
from pathlib import Path

from runyard.errors import ProvenanceUnavailable
from runyard.provenance.code import Code, find_code
from runyard.provenance.fingerprints import Recipe, fingerprint
from runyard.provenance.packages import packages, requirements
from runyard.provenance.program import as_text, command, image, program, workers
from runyard.provenance.program import parameters as given_parameters
from runyard.provenance.records import read
from runyard.provenance.surroundings import Hardware, hardware

__all__ = ["Code", "Hardware", "Provenance", "ProvenanceUnavailable", "Recipe", "collect", "fingerprint", "log", "read"]

FOLDER = "runyard"
FORMAT = 1
FINGERPRINT_TAG = "runyard.dev/fingerprint"
DIRTY_TAG = "runyard.dev/uncommitted"
_COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Provenance:
    """What decided a result.

    Attributes:
        code: the commit, and what was changed since; None outside a git repository.
        script: digest of the program's file, sha256:…, where no commit is known.
        image: digest of the container's image, sha256:…, where it is known.
        python: Python's version.
        packages: of each installed distribution by its normalised name (PEP 503) the version, and the address of what
            came from elsewhere than an index, `VERSION @ ADDRESS`.
        hardware: the machine.
        command: what Python was started with, without its own name; empty where that says nothing.
        workers: how many processes train together, where that is known.
        parameters: by name, as text: those that were logged or given, and of the manifest's those that were not.
        seeds: by name, as text.
        datasets: digests by name, sha256:….
        left_out: what is not known of these, and why, by the member's name: `diff`, or `diff/data.csv` of one file.

    """

    code: Code | None
    script: str | None
    image: str | None
    python: str
    packages: dict[str, str]
    hardware: Hardware
    command: tuple[str, ...] = ()
    workers: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """All of it that decides the result: not the machine."""
        return Recipe(
            commit=self.code.commit if self.code else None,
            diff=self.code.diff_digest if self.code else None,
            script=self.script,
            image=self.image,
            python=self.python,
            packages=self.packages,
            command=self.command,
            parameters=self.parameters,
            seeds=self.seeds,
            datasets=self.datasets,
            workers=self.workers,
            left_out=tuple(self.left_out),
        )

    @property
    def fingerprint(self) -> str:
        """The hash of the recipe."""
        return fingerprint(self.recipe)

    def save(self, folder: Path) -> None:
        """Write provenance.json, requirements.txt and, where the code was changed, uncommitted.diff into a folder."""
        about = json.dumps(self._about(), indent=2, ensure_ascii=False)
        (folder / "provenance.json").write_text(about, encoding="utf-8")
        (folder / "requirements.txt").write_text(requirements(self.packages), encoding="utf-8")
        if self.code and self.code.diff:
            (folder / "uncommitted.diff").write_bytes(self.code.diff)

    def _about(self) -> dict[str, object]:
        code = self.code and {
            "commit": self.code.commit,
            "branch": self.code.branch,
            "address": self.code.address,
            "diff": self.code.diff_digest,
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
            "command": self.command,
            "workers": self.workers,
            "parameters": self.parameters,
            "seeds": self.seeds,
            "datasets": self.datasets,
            "left_out": self.left_out,
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
        parameters: by name; those of the manifest (PARAM_NAME) that are not among them count too.
        seeds: by name.
        datasets: by name, files to take the SHA-256 of, or digests that are known (sha256:…).
        folder: where the code is; default: the program's own folder, or the current one in a notebook.

    Raises:
        ProvenanceUnavailable: a dataset cannot be read, the folder is none, or the changes are too large to record.

    """
    file = program()
    code = find_code(folder or (file.parent if file else Path.cwd()))
    root = code.root if code else None
    installed, unknown = packages(root if code and code.commit else None)
    words = command(root)
    left_out = {**(code.left_out if code else {}), **unknown}
    if not words:
        left_out["command"] = "a notebook or a console was not started with what it ran"
    return Provenance(
        code=code,
        script=_digest(file) if file and not (code and code.commit) else None,
        image=image(),
        python=platform.python_version(),
        packages=installed,
        hardware=hardware(),
        command=words,
        workers=workers(),
        parameters={**given_parameters(), **_texts(parameters)},
        seeds=_texts(seeds),
        datasets={as_text(name): _dataset_digest(name, found) for name, found in (datasets or {}).items()},
        left_out={as_text(name): as_text(why) for name, why in left_out.items()},
    )


def log(
    *,
    seeds: Mapping[str, object] | None = None,
    datasets: Mapping[str, Path | str] | None = None,
    folder: Path | None = None,
) -> Provenance:
    """Collect, and write it to the active MLflow run: call it when the run's parameters are logged.

    Those that the run has so far count as the result's, and of the manifest's (PARAM_NAME) those that it has not. What
    is logged later, as by autologging in `fit`, does not count.

    The run is tagged with the fingerprint (runyard.dev/fingerprint) and, as far as they are known, the commit
    (mlflow.source.git.commit) and whether there were changes since (runyard.dev/uncommitted); what else there is lies
    in its artifacts, in runyard/.

    Raises:
        ProvenanceUnavailable: no run is active, a dataset cannot be read, the folder is none, or the changes are too
            large to record.
        mlflow.exceptions.MlflowException: the server does not take it.

    """
    import mlflow

    active = mlflow.active_run()
    if active is None:
        raise ProvenanceUnavailable("no run is active: call provenance.log inside mlflow.start_run()")
    run_id = active.info.run_id
    found = collect(seeds=seeds, datasets=datasets, folder=folder)
    # Parameters may be on their way still.
    mlflow.flush_async_logging()
    found = replace(found, parameters={**found.parameters, **_texts(mlflow.get_run(run_id).data.params)})
    tags = {FINGERPRINT_TAG: found.fingerprint}
    if found.code and found.code.commit:
        tags[_COMMIT_TAG] = found.code.commit
    if found.code and found.code.is_dirty is not None:
        tags[DIRTY_TAG] = str(found.code.is_dirty).lower()
    mlflow.set_tags(tags)
    with tempfile.TemporaryDirectory() as scratch:
        found.save(Path(scratch))
        mlflow.log_artifacts(scratch, FOLDER, run_id=run_id)
    return found


def _texts(values: Mapping[str, object] | None) -> dict[str, str]:
    return {as_text(name): as_text(value) for name, value in (values or {}).items()}


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
