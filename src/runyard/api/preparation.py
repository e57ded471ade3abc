"""What is fetched before a training begins: what the program that does it is asked, and what it reports."""

from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath

from pydantic import Field, ValidationError

from runyard.api import datasets
from runyard.api.datasets import Dataset, FetchedDataset
from runyard.api.model import Model
from runyard.api.outcome import Reason
from runyard.api.source import ResolvedSource, Source
from runyard.api.trainingrun import TrainingRunSpec

CONTAINER = "runyard-prepare"
MODULE = "runyard.prepare"
# Where both are in a pod; on a laptop they are in a folder of the training's own.
FOLDER = "/runyard"
SOURCE, DATASETS = "source", "datasets"

WANTED_VARIABLE = "RUNYARD_PREPARE"
# What the program ends with: nothing is in the way; it may go better later; it would be so again.
PREPARED, TRY_AGAIN, WOULD_BE_SO_AGAIN = 0, 1, 2
# A container's last message has 4096 bytes at most, and the report is all of it.
MESSAGE_BYTES = 1024


class Wanted(Model):
    """What is to be fetched."""

    source: Source | None = None
    datasets: list[Dataset] = Field(default_factory=list)


class Failure(Model):
    """Why it could not be."""

    reason: Reason
    message: str


class Report(Model):
    """What came of it; datasets are told of only when there is nothing in the way of the training."""

    source: ResolvedSource | None = None
    datasets: list[FetchedDataset] = Field(default_factory=list)
    failure: Failure | None = None


def wanted(spec: TrainingRunSpec) -> Wanted | None:
    """Return what is to be fetched for a training; None for one that has all in its image."""
    if spec.source is None and not spec.datasets:
        return None
    return Wanted(source=spec.source, datasets=spec.datasets or [])


def working_folder(spec: TrainingRunSpec, folder: str | PurePath = FOLDER) -> PurePath | None:
    """Return the folder of the source that the command starts in; None where there is no source."""
    if spec.source is None:
        return None
    return PurePosixPath(folder) / SOURCE / (spec.source.path or "")


def variables(spec: TrainingRunSpec, folder: str | PurePath = FOLDER) -> Mapping[str, str]:
    """Return the variables that say where each dataset is."""
    place = PurePosixPath(folder) / DATASETS
    return {datasets.variable(dataset.name): str(place / dataset.name) for dataset in spec.datasets or []}


def read_report(text: str) -> Report | None:
    """Read what the program reported; None where it could not report any more."""
    try:
        return Report.model_validate_json(text)
    except ValidationError:
        return None
