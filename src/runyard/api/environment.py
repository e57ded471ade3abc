"""The environment a training runs in, the same in a pod and on a laptop."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from runyard.api import parameters, preparation, repetition
from runyard.api.records import (
    INSTALLATION_TAG,
    NAME_TAG,
    NAMESPACE_TAG,
    PARENT_ANNOTATION,
    PARENT_TAG,
    POD_TAG,
    SWEEP_TAG,
    TRIAL_TAG,
    UID_TAG,
)
from runyard.api.trainingrun import ObjectMeta, TrainingRun

# The default makes a script hang for four minutes at an unreachable server.
REQUEST_RETRIES = "3"
# For an image that the manifest pins by its digest; of another one a process in it cannot know.
IMAGE_DIGEST_VARIABLE = "RUNYARD_IMAGE_DIGEST"
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


@dataclass(frozen=True)
class Platform:
    """What trains and records: the address of MLflow as a training reaches it, and which operator it is."""

    tracking_uri: str
    installation: str = ""
    """Tells apart operators that share an MLflow; empty on a laptop, which sweeps nothing."""
    prepare_image: str = ""
    """The image that fetches source and datasets; a laptop needs none."""
    inputs_folder: str = preparation.FOLDER
    """Where the training finds them."""


@dataclass(frozen=True)
class AssignedRun:
    """The run that was made for a training before it began."""

    run_id: str
    experiment_id: str


def identity_tags(run: TrainingRun, pod_uid: str = "", installation: str = "") -> dict[str, str]:
    """Return the tags by which every run of an attempt, or of the whole resource, is found again.

    Of a repetition they say of what: also where nobody is left to say it at its end.
    """
    metadata = run.metadata
    tags = {
        UID_TAG: metadata.uid,
        NAME_TAG: metadata.name,
        NAMESPACE_TAG: metadata.namespace,
        INSTALLATION_TAG: installation,
        POD_TAG: pod_uid,
        **repetition.marks(metadata.annotations),
        **_of_trial(metadata),
    }
    return {key: value for key, value in tags.items() if value}


def _of_trial(metadata: ObjectMeta) -> dict[str, str]:
    """Return the tags by which the runs of a sweep's trial are found, and are shown below the sweep's own."""
    labels, annotations = metadata.labels or {}, metadata.annotations or {}
    marks = {tag: labels.get(tag, "") for tag in (SWEEP_TAG, TRIAL_TAG)}
    return {PARENT_TAG: annotations.get(PARENT_ANNOTATION, ""), **marks}


def own_variables(
    run: TrainingRun, platform: Platform, pod_uid: str, assigned: AssignedRun | None = None
) -> dict[str, str]:
    """Return the variables that Runyard sets, by name."""
    return {
        "MLFLOW_TRACKING_URI": platform.tracking_uri,
        "MLFLOW_EXPERIMENT_NAME": run.experiment,
        **({"MLFLOW_RUN_ID": assigned.run_id, "MLFLOW_EXPERIMENT_ID": assigned.experiment_id} if assigned else {}),
        "MLFLOW_RUN_CONTEXT": json.dumps(identity_tags(run, pod_uid, platform.installation)),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": REQUEST_RETRIES,
        # It would print addresses that only the cluster knows; the status has one that a browser can open.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        # What a script printed before it was killed is then in its log.
        "PYTHONUNBUFFERED": "1",
        **preparation.variables(run.spec, platform.inputs_folder),
        **parameters.variables(run.spec.parameters),
    }


def quoted(run: TrainingRun) -> TrainingRun:
    """Return the resource with its parameters and experiment such that `expanded` gives back what they are."""
    parameters = {
        name: value.replace("$", "$$") if isinstance(value, str) else value
        for name, value in run.spec.parameters.items()
    }
    experiment = run.experiment.replace("$", "$$")
    spec = run.spec.model_copy(update={"parameters": parameters, "experiment": experiment})
    return run.model_copy(update={"spec": spec})


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Replace $(NAME) as the kubelet does in commands, arguments and environment: $$ is a dollar sign.

    What is not defined stays as it is.
    """
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]), text)
