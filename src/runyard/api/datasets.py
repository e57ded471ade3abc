"""A training's data: where it is, the digest of what was fetched, and how MLflow is told of both."""

import json
from collections.abc import Mapping, Sequence

from pydantic import Field

from runyard.api.model import JsonObject, Model
from runyard.api.rules import rule
from runyard.errors import Problem

DATASETS_AT_MOST = 16  # the report on them goes into a container's termination message, of 4 KiB

DIGEST_TAG = "runyard.dev/digest"
VERIFIED_TAG = "runyard.dev/verified"
# Of data with the same name and digest MLflow keeps the address under which it first had them.
URI_TAG = "runyard.dev/uri"
_CONTEXT_TAG = "mlflow.data.context"
_CONTEXT = "training"
_MLFLOW_DIGEST_LENGTH = 36

_ADDRESS = "^(https?://[^/@[:space:]]+(/[^[:space:]]*)?|s3://[^/@[:space:]]+/.+|file:///.+)$"


class Dataset(Model):
    """A file that is fetched before the training begins."""

    name: str = Field(
        max_length=63,
        description="Its name: the file is /runyard/datasets/NAME, which RUNYARD_DATASET_NAME says, in capitals and "
        "with underscores.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
                    "must be lower case letters, digits, '-' or '.', and begin and end with a letter or a digit",
                )
            ]
        },
    )
    uri: str = Field(
        max_length=2048,
        description="Where it is: https://HOST/PATH, s3://BUCKET/KEY (with AWS_… variables from env or envFrom), or "
        "file:///PATH, where a volume is mounted.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"self.matches('{_ADDRESS}')",
                    "must be https://HOST/PATH, http://HOST/PATH, s3://BUCKET/KEY or file:///PATH, without a password",
                )
            ]
        },
    )
    digest: str | None = Field(
        None,
        max_length=71,
        description="What sha256sum prints of it, after sha256:. A file with another digest is not trained with. "
        "Without it the digest that was found is recorded.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.matches('^sha256:[0-9a-f]{64}$')",
                    "must be sha256: and the 64 digits that sha256sum prints, in lower case",
                )
            ]
        },
    )


class FetchedDataset(Model):
    """A dataset as it was found."""

    name: str
    digest: str = Field(description="sha256: and the digest of what was fetched.")


def variable(name: str) -> str:
    """Return the name of the variable that says where a dataset is."""
    return f"RUNYARD_DATASET_{name.upper().replace('-', '_').replace('.', '_')}"


def problems(datasets: Sequence[Dataset]) -> list[Problem]:
    """Find datasets whose variables would be one, which CEL cannot."""
    found: list[Problem] = []
    owners: dict[str, str] = {}
    for index, dataset in enumerate(datasets):
        owner = owners.setdefault(variable(dataset.name), dataset.name)
        if owner != dataset.name:
            message = f'Invalid value: "{dataset.name}": {variable(dataset.name)} is the variable of "{owner}" already'
            found.append(Problem(f"spec.datasets[{index}].name", message))
    return found


def inputs(wanted: Sequence[Dataset], fetched: Sequence[FetchedDataset]) -> list[JsonObject]:
    """Return the datasets of a run as MLflow's `runs/log-inputs` takes them.

    MLflow's own digest has at most 36 characters, the whole one is a tag of the input. Another tag says whether it is
    the digest that was asked for, or merely the one that was found.
    """
    asked: Mapping[str, Dataset] = {dataset.name: dataset for dataset in wanted}
    return [_input(asked[found.name], found.digest) for found in fetched if found.name in asked]


def _input(dataset: Dataset, digest: str) -> JsonObject:
    tags = {
        _CONTEXT_TAG: _CONTEXT,
        DIGEST_TAG: digest,
        VERIFIED_TAG: str(dataset.digest == digest).lower(),
        URI_TAG: dataset.uri,
    }
    kind, key = _SOURCES[dataset.uri.partition(":")[0]]
    return {
        "dataset": {
            "name": dataset.name,
            "digest": digest[:_MLFLOW_DIGEST_LENGTH],
            "source_type": kind,
            "source": json.dumps({key: dataset.uri}),
        },
        "tags": [{"key": name, "value": value} for name, value in tags.items()],
    }


# MLflow's source type by scheme, and the key under which a source of that type has its address.
_SOURCES = {"http": ("http", "url"), "https": ("http", "url"), "s3": ("s3", "uri"), "file": ("local", "uri")}
