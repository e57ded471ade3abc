"""The resource: what a person asks for (`TrainingRunSpec`) and what came of it (`TrainingRunStatus`).

These types are the source of the CustomResourceDefinition, of its documentation and of the checks that
`runyard run` makes; `make generate` writes all three. A field's description is what `kubectl explain` prints.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema

from runyard.api.datasets import DATASETS_AT_MOST, Dataset
from runyard.api.model import JsonObject, Model, Time, as_list, as_object
from runyard.api.outcome import TrainingRunStatus
from runyard.api.promote import PROMOTE_RULES, Promote
from runyard.api.rules import REQUIRED, Rule, rule
from runyard.api.source import COMMIT, Source

GROUP = "runyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TrainingRun"
PLURAL = "trainingruns"

TRAINING_CONTAINER = "training"
# 68 years; a Job keeps its TTL in 32 bits, and counts far longer deadlines as over at once.
MOST_SECONDS = 2**31 - 1
RESERVED_ENVIRONMENT = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_CONTEXT", "RUNYARD_POD_UID")


def kubernetes(definition: str, *rules: Rule) -> WithJsonSchema:
    """Mark a field as a type of Kubernetes' own, whose schema `crd` puts in, with rules of ours besides."""
    more = {"x-kubernetes-validations": [*rules]} if rules else {}
    return WithJsonSchema({"x-runyard-kubernetes-type": definition, **more})


_RESERVED_MESSAGE = (
    f"{', '.join(RESERVED_ENVIRONMENT[:-1])} and {RESERVED_ENVIRONMENT[-1]} are how a run is found again and are set "
    "by Runyard: leave them out"
)
_NOT_RESERVED = f"!(self.name in {list(RESERVED_ENVIRONMENT)})"
# Of the training container in podTemplate: other containers may call theirs what they like.
RESERVED_IN_TEMPLATE = rule(
    f"self.name != '{TRAINING_CONTAINER}' || !has(self.env) || "
    f"self.env.all(e, !(e.name in {list(RESERVED_ENVIRONMENT)}))",
    _RESERVED_MESSAGE,
    ".env",
)

EnvVar: TypeAlias = Annotated[
    JsonObject, kubernetes("io.k8s.api.core.v1.EnvVar", rule(_NOT_RESERVED, _RESERVED_MESSAGE, ".name"))
]
EnvFromSource: TypeAlias = Annotated[JsonObject, kubernetes("io.k8s.api.core.v1.EnvFromSource")]
ResourceRequirements: TypeAlias = Annotated[JsonObject, kubernetes("io.k8s.api.core.v1.ResourceRequirements")]
Toleration: TypeAlias = Annotated[JsonObject, kubernetes("io.k8s.api.core.v1.Toleration")]
Volume: TypeAlias = Annotated[JsonObject, kubernetes("io.k8s.api.core.v1.Volume")]
VolumeMount: TypeAlias = Annotated[JsonObject, kubernetes("io.k8s.api.core.v1.VolumeMount")]
PodTemplateSpec: TypeAlias = Annotated[JsonObject, kubernetes("io.k8s.api.core.v1.PodTemplateSpec")]

# A structural schema cannot say "a number, a string or a boolean" of a map's values: `parameters` does, and so does the
# policy beside the definition.
Parameter: TypeAlias = Annotated[JsonValue, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})]
ShortString: TypeAlias = Annotated[str, Field(max_length=1024)]


class RunMode(StrEnum):
    """Who starts the runs of a training."""

    DISCOVER = "Discover"
    ASSIGNED = "Assigned"


class OnDuplicate(StrEnum):
    """What becomes of a training whose result is there already."""

    RUN = "Run"
    REUSE = "Reuse"


class Tracking(Model):
    """How the training and MLflow meet."""

    run: RunMode | None = Field(
        None,
        description="Discover (default): the script starts its runs itself, in any way and in any experiment; they "
        "carry the pod's identity as tags and are found by it. Assigned (default with several workers): one run is "
        "made before the Job, and all pods, retries included, log into it: MLFLOW_RUN_ID names it.",
    )
    require_model: bool = Field(
        default=False, description="true: a training that succeeds and logs no model is Succeeded, but Tracked=False."
    )
    require_metrics: list[Annotated[str, Field(min_length=1, max_length=250)]] = Field(
        default_factory=list,
        max_length=64,
        description="Metrics without which a training that succeeds is Succeeded, but Tracked=False.",
    )


def _is_name(whose: str) -> Rule:
    return rule(
        "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
        f"must be {whose} name: lower case letters, digits, '-' and '.', beginning and ending with a letter or a digit",
    )


class TrainingRunSpec(Model):
    """What to train, with what, and where to record it."""

    image: str | None = Field(None, min_length=1, max_length=1024, description="Image the training runs in.")
    command: list[ShortString] | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="Program and its first arguments; default: the image's. $(params.NAME) is replaced by that "
        "parameter's value.",
    )
    args: list[Annotated[str, Field(max_length=16384)]] | None = Field(
        None,
        max_length=1024,
        description="Arguments. $(params.NAME) is replaced by that parameter's value.",
    )
    working_dir: str | None = Field(
        None,
        max_length=4096,
        description="Folder the command starts in; default: the image's. `runyard run` starts it in the "
        "manifest's own folder.",
    )
    parameters: dict[str, Parameter] = Field(
        default_factory=dict,
        max_length=100,
        description="Scalars by name: numbers, strings, booleans. Each replaces $(params.NAME) in command, args and "
        "env, and is in the environment as PARAM_NAME.",
    )
    experiment: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="MLflow experiment; default: the namespace's name.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    r"!self.matches('[\\x00-\\x1f\\x7f]')",
                    "must be one line of text: leave out line breaks, tabs and other control characters",
                )
            ]
        },
    )
    env: list[EnvVar] | None = Field(
        None,
        max_length=256,
        description="Environment of the training container, as in a pod. $(params.NAME) is replaced in values.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
    env_from: list[EnvFromSource] | None = Field(
        None, max_length=64, description="ConfigMaps and Secrets whose keys become environment, as in a pod."
    )
    resources: ResourceRequirements | None = Field(
        None, description="Requests and limits of the training container, as in a pod."
    )
    volumes: list[Volume] | None = Field(None, max_length=64, description="Volumes, as in a pod.")
    volume_mounts: list[VolumeMount] | None = Field(
        None, max_length=64, description="Where the training container sees volumes, as in a pod."
    )
    service_account_name: str | None = Field(
        None,
        max_length=253,
        description="Service account of the pod; its token is not mounted unless asked for.",
        json_schema_extra={"x-kubernetes-validations": [_is_name("a service account's")]},
    )
    node_selector: dict[str, str] | None = Field(None, description="Labels a node must have.")
    tolerations: list[Toleration] | None = Field(None, max_length=64, description="Taints that are tolerated.")
    pod_template: PodTemplateSpec | None = Field(
        None,
        description="A pod template laid under the fields above, for everything else. Its container named "
        '"training" is the training container.',
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!has(self.spec) || !has(self.spec.restartPolicy) || self.spec.restartPolicy == 'Never'",
                    "must be Never, or left out: every attempt is a pod of its own",
                    ".spec.restartPolicy",
                ),
            ]
        },
    )
    source: Source | None = Field(
        None,
        description="Code from a git repository: it is fetched before the training, which starts in it at "
        "/runyard/source.",
    )
    datasets: list[Dataset] | None = Field(
        None,
        max_length=DATASETS_AT_MOST,
        description="Files that are fetched, and verified by their digests, before the training; MLflow has them as "
        "inputs of the run.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    backoff_limit: int = Field(
        0, ge=0, le=100, description="How many times a failed attempt is tried again, each in a new pod."
    )
    active_deadline_seconds: int | None = Field(
        None,
        ge=1,
        le=MOST_SECONDS,
        description="Seconds after which the training is stopped and has failed, retries included.",
    )
    ttl_seconds_after_finished: int | None = Field(
        None,
        ge=0,
        le=MOST_SECONDS,
        description="Seconds after the end until the Job and its pods are removed; default: kept.",
    )
    suspend: bool = Field(default=False, description="true: no pod runs until it is set to false.")
    queue_name: str | None = Field(
        None,
        min_length=1,
        max_length=63,
        description="Kueue's LocalQueue that says when the training may run: the Job is made suspended, and Kueue "
        "resumes it.",
        json_schema_extra={"x-kubernetes-validations": [_is_name("a LocalQueue's")]},
    )
    workers: int = Field(
        1,
        ge=1,
        le=512,
        description="How many pods train together: an Indexed Job with a host name for each pod. RANK, WORLD_SIZE, "
        "MASTER_ADDR and MASTER_PORT are in the environment.",
    )
    tracking: Tracking = Field(default_factory=Tracking, description="How the training and MLflow meet.")
    on_duplicate: OnDuplicate = Field(
        OnDuplicate.RUN,
        description="Reuse: an earlier successful training with the same status.fingerprint is the result, and no Job "
        "is made; image, source and datasets must be pinned. Run (default): it is trained in any case.",
    )
    promote: Promote | None = Field(
        None,
        description="After success: register the model and give it an alias, if what is asked for holds.",
        json_schema_extra={"x-kubernetes-validations": [*PROMOTE_RULES]},
    )

    @property
    def run_mode(self) -> RunMode:
        """Who starts the runs: several workers share one unless they are told otherwise."""
        return self.tracking.run or (RunMode.ASSIGNED if self.workers > 1 else RunMode.DISCOVER)

    @property
    def template_container(self) -> tuple[int, JsonObject]:
        """The training container in podTemplate and its place there; empty where it has none."""
        containers = as_list(as_object((self.pod_template or {}).get("spec")).get("containers"))
        for index, container in enumerate(map(as_object, containers)):
            if container.get("name") == TRAINING_CONTAINER:
                return index, container
        return 0, {}


# Of a dataset and a commit the schema says what a digest and a whole name are.
PINNED_IMAGE = "@sha256:[0-9a-f]{64}$"
_MAY_DIFFER = "Reuse needs what cannot become another meanwhile"

SPEC_RULES = (
    rule(
        "has(self.image) || (has(self.podTemplate) && has(self.podTemplate.spec)"
        " && has(self.podTemplate.spec.containers)"
        f" && self.podTemplate.spec.containers.exists(c, c.name == '{TRAINING_CONTAINER}' && has(c.image)))",
        'say which image to train in, here or in podTemplate for its container named "training"',
        ".image",
        reason=REQUIRED,
    ),
    rule(
        "self.workers <= 1 || !has(self.tracking) || !has(self.tracking.run) || self.tracking.run == 'Assigned'",
        "workers share one run: say Assigned, or leave it out",
        ".tracking.run",
    ),
    rule(
        "self.workers <= 1 || !has(self.source) || "
        f"(has(self.source.revision) && self.source.revision.matches('{COMMIT}'))",
        "workers fetch one by one, and a branch or a tag may move meanwhile: give the whole name of a commit",
        ".source.revision",
    ),
    rule(
        "!has(self.queueName) || !self.suspend",
        "a queued training is suspended and resumed by its queue: leave suspend or queueName out",
        ".suspend",
    ),
    rule(
        f"self.onDuplicate != 'Reuse' || !has(self.image) || self.image.matches('{PINNED_IMAGE}')",
        f"{_MAY_DIFFER}: name the image by its digest, NAME@sha256:DIGEST, and not by a tag",
        ".image",
    ),
    rule(
        "self.onDuplicate != 'Reuse' || !has(self.source) || "
        f"(has(self.source.revision) && self.source.revision.matches('{COMMIT}'))",
        f"{_MAY_DIFFER}: give the whole name of a commit, and no branch or tag",
        ".source.revision",
    ),
    rule(
        "self.onDuplicate != 'Reuse' || !has(self.datasets) || self.datasets.all(d, has(d.digest))",
        f"{_MAY_DIFFER}: give each dataset its digest, as sha256sum prints it",
        ".datasets",
    ),
)

# What may be changed while a training goes on; everything else decides what it is.
MUTABLE = ("suspend", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
# Values of any type, which the definition's rules cannot see: an admission policy beside it guards them.
UNSEEN = ("parameters",)
IMMUTABLE_MESSAGE = "cannot be changed: create a new TrainingRun"


def _own(annotations: object) -> object:
    """Keep the annotations that are Runyard's: others may have a copy of the whole object in one."""
    if not isinstance(annotations, dict):
        return annotations
    return {key: value for key, value in annotations.items() if str(key).startswith(f"{GROUP}/")} or None


class ObjectMeta(Model):
    """The part of metav1.ObjectMeta that is used here."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: Time | None = None
    labels: dict[str, str] | None = None
    annotations: Annotated[dict[str, str] | None, BeforeValidator(_own)] = None

    @property
    def version(self) -> int:
        """The object's age among its own versions; Kubernetes promises that they can be compared."""
        return int(self.resource_version or 0)


class TrainingRun(Model):
    """One training, asked for once."""

    api_version: str = API_VERSION
    kind: str = KIND
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
    spec: TrainingRunSpec
    status: TrainingRunStatus = Field(default_factory=TrainingRunStatus)

    @property
    def experiment(self) -> str:
        """The MLflow experiment the runs go to unless the script says otherwise."""
        return self.spec.experiment or self.metadata.namespace
