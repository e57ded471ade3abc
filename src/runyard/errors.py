"""Every error that Runyard raises on purpose, and the exit code a command ends with for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a manifest: the field's path, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        """Write it as the API server does."""
        return f"{self.path}: {self.message}" if self.path else self.message


class RunyardError(Exception):
    """Something a person can act on; its text is one sentence that says what and how."""

    exit_code = 1


class UnreadableManifest(RunyardError):
    """The file is not there, is not YAML, or holds something else."""

    exit_code = 2


class InvalidManifest(RunyardError):
    """The manifest is a TrainingRun, or a sweep, that the API server would refuse."""

    exit_code = 2

    def __init__(self, name: str, problems: list[Problem], kind: str = "TrainingRun") -> None:
        """Say all problems together, in the API server's words."""
        self.problems = problems
        listed = str(problems[0]) if len(problems) == 1 else "\n" + "\n".join(f"* {found}" for found in problems)
        super().__init__(f'The {kind} "{name}" is invalid: {listed}')


class UnknownField(RunyardError):
    """The manifest has fields that no TrainingRun, or no sweep, has."""

    exit_code = 2

    def __init__(self, paths: list[str], kind: str = "TrainingRun") -> None:
        """Name all fields together, in the API server's words."""
        self.paths = paths
        fields = ", ".join(f'unknown field "{path}"' for path in paths)
        super().__init__(f'{kind} in version "v1alpha1" cannot be handled as a {kind}: strict decoding error: {fields}')


class TrackingUnavailable(RunyardError):
    """MLflow does not answer, or refuses; nothing is wrong with the training."""

    exit_code = 4


class EvaluationImpossible(RunyardError):
    """A model and the rows given do not fit together."""

    exit_code = 2


class ProvenanceUnavailable(RunyardError):
    """What decided a result cannot be found out."""

    exit_code = 2
