"""What the API server refuses, and in which words: one row a mistake.

Each row is a change to a TrainingRun that is right, and all that is said of it. A field or a rule that has no row fails
`test_each_way_in_which_the_schema_can_refuse_has_a_row`.
"""

from dataclasses import dataclass, field
from typing import Any

from runyard.api.trainingrun import MOST_SECONDS

RIGHT: dict[str, Any] = {"image": "x"}
_RESERVED = (
    "Forbidden: MLFLOW_TRACKING_URI, MLFLOW_RUN_CONTEXT and RUNYARD_POD_UID are how a run is found again and are set "
    "by Runyard: leave them out"
)
_NO_IMAGE = (
    'spec.image: Required value: say which image to train in, here or in podTemplate for its container named "training"'
)
_NO_REPOSITORY = (
    "spec.source.git: Forbidden: must be https://HOST/PATH, http://HOST/PATH, ssh://USER@HOST/PATH or file:///PATH, "
    "without a password: that is for secretName"
)
_ONE_LINE = "Forbidden: must be one line of text: leave out line breaks, tabs and other control characters"
_QUANTITY = "Forbidden: must be a quantity: a number with a unit, such as 500m, 2, 512Mi or 1.5Gi"
_DIGEST = "x@sha256:" + "0" * 64
_REUSE = "Forbidden: Reuse needs what cannot become another meanwhile"
_PINNED_IMAGE = f"{_REUSE}: name the image by its digest, NAME@sha256:DIGEST, and not by a tag"
_NO_MODEL = "Forbidden: must be a name without / and : and control characters, and not only of dots and spaces"
_NO_ALIAS = 'Forbidden: must be letters, digits, - and _, and neither "latest" nor a version as "v1"'
_NO_LIST = (
    "spec.parameters.a: Forbidden: must be a number, a string or a boolean, and not a list: write it as one string, "
    "which the script takes apart"
)
_NO_OBJECT = (
    "spec.parameters.a: Forbidden: must be a number, a string or a boolean, and not an object: give each of its fields "
    "a parameter of its own"
)
_NEVER = "Forbidden: must be Never, or left out: every attempt is a pod of its own"


def _named(whose: str) -> str:
    return (
        f"Forbidden: must be a {whose}'s name: lower case letters, digits, '-' and '.', beginning and ending with a "
        "letter or a digit"
    )


def _type(path: str, found: str, wanted: str) -> str:
    return f'{path}: Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'


def _least(path: str, value: int, limit: int) -> str:
    return f"{path}: Invalid value: {value}: {path} in body should be greater than or equal to {limit}"


def _most(path: str, value: int, limit: int) -> str:
    return f"{path}: Invalid value: {value}: {path} in body should be less than or equal to {limit}"


def _empty(path: str) -> str:
    return f'{path}: Invalid value: "": {path} in body should be at least 1 chars long'


def _none(path: str) -> str:
    return f"{path}: Invalid value: 0: {path} in body should have at least 1 items"


def _long(path: str, limit: int) -> str:
    return f"{path}: Too long: may not be more than {limit} bytes"


def _many(path: str, count: int, limit: int) -> str:
    return f"{path}: Too many: {count}: must have at most {limit} items"


def _required(path: str) -> str:
    return f"{path}: Required value"


def _template(container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "training", **container}], **pod}}}


def _source(**fields: Any) -> dict[str, Any]:
    return {"source": {"git": "https://h/p", **fields}}


def _dataset(**fields: Any) -> dict[str, Any]:
    return {"datasets": [{"name": "a", "uri": "s3://b/k", **fields}]}


def _promote(**fields: Any) -> dict[str, Any]:
    return {"promote": {"model": "heart", **fields}}


@dataclass(frozen=True)
class Refusal:
    """A change to the spec, or to metadata, and what is said of it, line by line."""

    about: str
    spec: Any
    said: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)
    kind: str = "TrainingRun"
    right: dict[str, Any] = field(default_factory=lambda: RIGHT)

    @property
    def manifest(self) -> dict[str, Any]:
        """The whole manifest: a None takes a field away, as in a patch."""
        spec = self.spec
        if isinstance(spec, dict):
            spec = {key: value for key, value in {**self.right, **spec}.items() if value is not None}
        return {
            "apiVersion": "runyard.dev/v1alpha1",
            "kind": self.kind,
            "metadata": {"name": "refused", **self.metadata},
            "spec": spec,
        }


def _row(about: str, spec: Any, *said: str, **metadata: Any) -> Refusal:
    return Refusal(about, spec, said, metadata)


_CONTAINER = "spec.podTemplate.spec.containers[0]"

REFUSALS = (
    # The whole
    _row("no spec", None, "spec: Required value"),
    _row("a list for a spec", [], _type("spec", "array", "object")),
    _row("a text for a spec", "x", _type("spec", "string", "object")),
    # image
    _row("no image", {"image": None}, _NO_IMAGE),
    _row("an empty template for an image", {"image": None, "podTemplate": {}}, _NO_IMAGE),
    _row("a template without containers", {"image": None, "podTemplate": {"spec": {"containers": []}}}, _NO_IMAGE),
    _row("a training container without an image", {"image": None, **_template({})}, _NO_IMAGE),
    _row(
        "an image elsewhere than in the training container",
        {"image": None, "podTemplate": {"spec": {"containers": [{"name": "a", "image": "x"}]}}},
        _NO_IMAGE,
    ),
    _row("a number for an image", {"image": 3}, _type("spec.image", "integer", "string")),
    _row("an empty image", {"image": ""}, _empty("spec.image")),
    _row("an image too long", {"image": "x" * 1025}, _long("spec.image", 1024)),
    # command, args, workingDir
    _row("a text for a command", {"command": "python"}, _type("spec.command", "string", "array")),
    _row("an empty command", {"command": []}, _none("spec.command")),
    _row("too many words of a command", {"command": ["x"] * 257}, _many("spec.command", 257, 256)),
    _row("a number in a command", {"command": ["nice", 5]}, _type("spec.command[1]", "integer", "string")),
    _row("a word of a command too long", {"command": ["x" * 1025]}, _long("spec.command[0]", 1024)),
    _row("a text for arguments", {"args": "--fast"}, _type("spec.args", "string", "array")),
    _row("a number for an argument", {"args": ["--depth", 8]}, _type("spec.args[1]", "integer", "string")),
    _row("a null for an argument", {"args": ["--depth", None]}, _type("spec.args[1]", "null", "string")),
    _row("too many arguments", {"args": ["x"] * 1025}, _many("spec.args", 1025, 1024)),
    _row("an argument too long", {"args": ["x" * 16385]}, _long("spec.args[0]", 16384)),
    _row("a list for a folder", {"workingDir": ["/a"]}, _type("spec.workingDir", "array", "string")),
    _row("a folder too long", {"workingDir": "/" * 4097}, _long("spec.workingDir", 4096)),
    # parameters
    _row("a list for parameters", {"parameters": [1]}, _type("spec.parameters", "array", "object")),
    _row(
        "too many parameters",
        {"parameters": {f"p{number}": number for number in range(101)}},
        _many("spec.parameters", 101, 100),
    ),
    _row("a list for a parameter", {"parameters": {"a": [1, 2], "b": 1}}, _NO_LIST),
    _row("an empty list for a parameter", {"parameters": {"a": []}}, _NO_LIST),
    _row("an object for a parameter", {"parameters": {"a": {"b": 1}, "b": 1}}, _NO_OBJECT),
    # experiment
    _row("a number for an experiment", {"experiment": 7}, _type("spec.experiment", "integer", "string")),
    _row("an empty experiment", {"experiment": ""}, _empty("spec.experiment")),
    _row("an experiment too long", {"experiment": "x" * 501}, _long("spec.experiment", 500)),
    _row("an experiment of two lines", {"experiment": "a\nb"}, f"spec.experiment: {_ONE_LINE}"),
    _row("an experiment with a tab", {"experiment": "a\tb"}, f"spec.experiment: {_ONE_LINE}"),
    # env, envFrom
    _row("a text for an environment", {"env": "A=1"}, _type("spec.env", "string", "array")),
    _row("too many variables", {"env": [{"name": f"A{n}"} for n in range(257)]}, _many("spec.env", 257, 256)),
    _row(
        "a text for a variable",
        {"env": ["A=1"]},
        'spec.env[0]: Invalid value: "A=1": must be an object for an array of list-type map',
        _type("spec.env[0]", "string", "object"),
    ),
    _row(
        "a null for a variable",
        {"env": [None]},
        _type("spec.env[0]", "null", "object"),
    ),
    _row("a variable without a name", {"env": [{"value": "1"}]}, _required("spec.env[0].name")),
    _row(
        "a number for a variable",
        {"env": [{"name": "A", "value": 1}]},
        _type("spec.env[0].value", "integer", "string"),
    ),
    _row(
        "a variable given twice",
        {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
        'spec.env[1]: Duplicate value: {"name":"A"}',
    ),
    _row(
        "a variable of Runyard's own",
        {"env": [{"name": "A"}, {"name": "MLFLOW_RUN_CONTEXT", "value": "{}"}]},
        f"spec.env[1].name: {_RESERVED}",
    ),
    _row(
        "a variable from nothing",
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a"}}}]},
        _required("spec.env[0].valueFrom.secretKeyRef.key"),
    ),
    _row("a text for sources of an environment", {"envFrom": "a"}, _type("spec.envFrom", "string", "array")),
    _row(
        "too many sources of an environment",
        {"envFrom": [{"prefix": "A"}] * 65},
        _many("spec.envFrom", 65, 64),
    ),
    _row("a text for a source of an environment", {"envFrom": ["a"]}, _type("spec.envFrom[0]", "string", "object")),
    # resources
    _row("a list for resources", {"resources": []}, _type("spec.resources", "array", "object")),
    _row(
        "no quantity, in a limit",
        {"resources": {"limits": {"memory": "512MB"}}},
        f"spec.resources.limits[memory]: {_QUANTITY}",
    ),
    _row(
        "no quantity, in a request",
        {"resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "one"}}},
        f"spec.resources.requests[nvidia.com/gpu]: {_QUANTITY}",
    ),
    _row(
        "a fraction that is no text",
        {"resources": {"requests": {"cpu": 1.5}}},
        _type("spec.resources.requests.cpu", "number", "integer"),
        _type("spec.resources.requests.cpu", "number", "integer,string"),
    ),
    _row(
        "a boolean for a quantity",
        {"resources": {"requests": {"cpu": True}}},
        _type("spec.resources.requests.cpu", "boolean", "integer"),
        _type("spec.resources.requests.cpu", "boolean", "integer,string"),
    ),
    _row(
        "too many resources",
        {"resources": {"limits": {f"example.com/r{number}": 1 for number in range(13)}}},
        _many("spec.resources.limits", 13, 12),
    ),
    # volumes, volumeMounts
    _row("an object for volumes", {"volumes": {}}, _type("spec.volumes", "object", "array")),
    _row("too many volumes", {"volumes": [{"name": f"v{n}"} for n in range(65)]}, _many("spec.volumes", 65, 64)),
    _row("a text for a volume", {"volumes": ["data"]}, _type("spec.volumes[0]", "string", "object")),
    _row("a volume without a name", {"volumes": [{}]}, _required("spec.volumes[0].name")),
    _row("an object for mounts", {"volumeMounts": {}}, _type("spec.volumeMounts", "object", "array")),
    _row(
        "too many mounts",
        {"volumeMounts": [{"name": "a", "mountPath": f"/{n}"} for n in range(65)]},
        _many("spec.volumeMounts", 65, 64),
    ),
    _row("a text for a mount", {"volumeMounts": ["/data"]}, _type("spec.volumeMounts[0]", "string", "object")),
    _row(
        "a mount of nothing nowhere",
        {"volumeMounts": [{}]},
        _required("spec.volumeMounts[0].mountPath"),
        _required("spec.volumeMounts[0].name"),
    ),
    # serviceAccountName, nodeSelector, tolerations
    _row(
        "a number for a service account",
        {"serviceAccountName": 1},
        _type("spec.serviceAccountName", "integer", "string"),
    ),
    _row("a service account too long", {"serviceAccountName": "x" * 254}, _long("spec.serviceAccountName", 253)),
    _row(
        "a service account that no name can be",
        {"serviceAccountName": "Team A"},
        f"spec.serviceAccountName: {_named('service account')}",
    ),
    _row("a text for a node selector", {"nodeSelector": "a=b"}, _type("spec.nodeSelector", "string", "object")),
    _row(
        "a boolean for a node's label",
        {"nodeSelector": {"gpu": True}},
        _type("spec.nodeSelector.gpu", "boolean", "string"),
    ),
    _row("an object for tolerations", {"tolerations": {}}, _type("spec.tolerations", "object", "array")),
    _row("too many tolerations", {"tolerations": [{"key": "a"}] * 65}, _many("spec.tolerations", 65, 64)),
    _row("a text for a toleration", {"tolerations": ["gpu"]}, _type("spec.tolerations[0]", "string", "object")),
    _row(
        "a text for a toleration's time",
        {"tolerations": [{"key": "a", "tolerationSeconds": "5m"}]},
        _type("spec.tolerations[0].tolerationSeconds", "string", "integer"),
    ),
    # podTemplate
    _row("a list for a template", {"podTemplate": []}, _type("spec.podTemplate", "array", "object")),
    _row("restarts in place", _template({}, restartPolicy="Always"), f"spec.podTemplate.spec.restartPolicy: {_NEVER}"),
    _row(
        "restarts in place after failures",
        _template({}, restartPolicy="OnFailure"),
        f"spec.podTemplate.spec.restartPolicy: {_NEVER}",
    ),
    _row(
        "a variable of Runyard's own in the template",
        _template({"env": [{"name": "RUNYARD_POD_UID"}]}),
        f"{_CONTAINER}.env: {_RESERVED}",
    ),
    _row(
        "a container without a name", {"podTemplate": {"spec": {"containers": [{}]}}}, _required(f"{_CONTAINER}.name")
    ),
    _row(
        "too many containers",
        {"podTemplate": {"spec": {"containers": [{"name": f"c{number}"} for number in range(33)]}}},
        _many("spec.podTemplate.spec.containers", 33, 32),
    ),
    _row(
        "a container's name too long",
        {"podTemplate": {"spec": {"containers": [{"name": "x" * 64}]}}},
        _long(f"{_CONTAINER}.name", 63),
    ),
    _row(
        "a port given twice",
        _template({"ports": [{"containerPort": 1}, {"containerPort": 1}]}),
        f'{_CONTAINER}.ports[1]: Duplicate value: {{"containerPort":1,"protocol":"TCP"}}',
    ),
    _row(
        "a text for a grace period",
        _template({}, terminationGracePeriodSeconds="30s"),
        _type("spec.podTemplate.spec.terminationGracePeriodSeconds", "string", "integer"),
    ),
    _row(
        "a number for a label",
        {"podTemplate": {"metadata": {"labels": {"a": 1}}}},
        _type("spec.podTemplate.metadata.labels.a", "integer", "string"),
    ),
    # backoffLimit, activeDeadlineSeconds, ttlSecondsAfterFinished
    _row("a text for a limit", {"backoffLimit": "3"}, _type("spec.backoffLimit", "string", "integer")),
    _row("a fraction for a limit", {"backoffLimit": 1.5}, _type("spec.backoffLimit", "number", "integer")),
    _row("a limit below zero", {"backoffLimit": -1}, _least("spec.backoffLimit", -1, 0)),
    _row("a limit too high", {"backoffLimit": 101}, _most("spec.backoffLimit", 101, 100)),
    _row(
        "a text for a deadline",
        {"activeDeadlineSeconds": "1h"},
        _type("spec.activeDeadlineSeconds", "string", "integer"),
    ),
    _row("a deadline at once", {"activeDeadlineSeconds": 0}, _least("spec.activeDeadlineSeconds", 0, 1)),
    _row(
        "a deadline that no Job can count to",
        {"activeDeadlineSeconds": MOST_SECONDS + 1},
        _most("spec.activeDeadlineSeconds", MOST_SECONDS + 1, MOST_SECONDS),
    ),
    _row(
        "a text for a time to live",
        {"ttlSecondsAfterFinished": "1d"},
        _type("spec.ttlSecondsAfterFinished", "string", "integer"),
    ),
    _row("a time to live below zero", {"ttlSecondsAfterFinished": -1}, _least("spec.ttlSecondsAfterFinished", -1, 0)),
    _row(
        "a time to live that no Job can have",
        {"ttlSecondsAfterFinished": MOST_SECONDS + 1},
        _most("spec.ttlSecondsAfterFinished", MOST_SECONDS + 1, MOST_SECONDS),
    ),
    # suspend, queueName, workers
    _row("a text for a boolean", {"suspend": "yes"}, _type("spec.suspend", "string", "boolean")),
    _row(
        "queued and suspended",
        {"queueName": "team", "suspend": True},
        "spec.suspend: Forbidden: a queued training is suspended and resumed by its queue: leave suspend or queueName "
        "out",
    ),
    _row("a number for a queue", {"queueName": 1}, _type("spec.queueName", "integer", "string")),
    _row(
        "an empty queue",
        {"queueName": ""},
        _empty("spec.queueName"),
        f"spec.queueName: {_named('LocalQueue')}",
    ),
    _row("a queue too long", {"queueName": "x" * 64}, _long("spec.queueName", 63)),
    _row(
        "a queue that no name can be",
        {"queueName": "team_a"},
        f"spec.queueName: {_named('LocalQueue')}",
    ),
    _row("a text for workers", {"workers": "2"}, _type("spec.workers", "string", "integer")),
    _row("no workers", {"workers": 0}, _least("spec.workers", 0, 1)),
    _row("too many workers", {"workers": 513}, _most("spec.workers", 513, 512)),
    _row(
        "workers with runs of their own",
        {"workers": 2, "tracking": {"run": "Discover"}},
        "spec.tracking.run: Forbidden: workers share one run: say Assigned, or leave it out",
    ),
    # tracking
    _row("a text for tracking", {"tracking": "Assigned"}, _type("spec.tracking", "string", "object")),
    _row(
        "a number for who starts runs",
        {"tracking": {"run": 1}},
        _type("spec.tracking.run", "integer", "string"),
        'spec.tracking.run: Unsupported value: 1: supported values: "Discover", "Assigned"',
    ),
    _row(
        "nobody who starts runs",
        {"tracking": {"run": "Guess"}},
        'spec.tracking.run: Unsupported value: "Guess": supported values: "Discover", "Assigned"',
    ),
    _row(
        "a text for whether a model is required",
        {"tracking": {"requireModel": "yes"}},
        _type("spec.tracking.requireModel", "string", "boolean"),
    ),
    _row(
        "a text for required metrics",
        {"tracking": {"requireMetrics": "f1"}},
        _type("spec.tracking.requireMetrics", "string", "array"),
    ),
    _row(
        "too many required metrics",
        {"tracking": {"requireMetrics": [f"m{number}" for number in range(65)]}},
        _many("spec.tracking.requireMetrics", 65, 64),
    ),
    _row(
        "a number for a required metric",
        {"tracking": {"requireMetrics": [1]}},
        _type("spec.tracking.requireMetrics[0]", "integer", "string"),
    ),
    _row(
        "an empty required metric",
        {"tracking": {"requireMetrics": ["f1", ""]}},
        _empty("spec.tracking.requireMetrics[1]"),
    ),
    _row(
        "a required metric too long",
        {"tracking": {"requireMetrics": ["x" * 251]}},
        _long("spec.tracking.requireMetrics[0]", 250),
    ),
    # source
    _row("a text for a source", {"source": "https://h/p"}, _type("spec.source", "string", "object")),
    _row("a source that is nowhere", {"source": {"revision": "main"}}, _required("spec.source.git")),
    _row("a number for a repository", {"source": {"git": 7}}, _type("spec.source.git", "integer", "string")),
    _row("a repository too long", _source(git="https://h/" + "x" * 1024), _long("spec.source.git", 1024)),
    _row("a password in an address", _source(git="https://u:p@h/p"), _NO_REPOSITORY),
    _row("an address as scp takes it", _source(git="git@h:p"), _NO_REPOSITORY),
    _row("a number for a revision", _source(revision=7), _type("spec.source.revision", "integer", "string")),
    _row("an empty revision", _source(revision=""), _empty("spec.source.revision")),
    _row("a revision too long", _source(revision="x" * 256), _long("spec.source.revision", 255)),
    _row(
        "a revision that is an expression",
        _source(revision="main~1"),
        "spec.source.revision: Forbidden: must be the name of a branch, a tag or a commit; an expression, such as "
        "main~1, is none",
    ),
    _row("a list for a folder of a source", _source(path=["a"]), _type("spec.source.path", "array", "string")),
    _row("an empty folder of a source", _source(path=""), _empty("spec.source.path")),
    _row("a folder of a source too long", _source(path="x" * 1025), _long("spec.source.path", 1024)),
    _row(
        "a folder outside the repository",
        _source(path="../x"),
        "spec.source.path: Forbidden: must be a folder inside the repository, without a / at its beginning and without "
        "..",
    ),
    _row("a number for a Secret", _source(secretName=7), _type("spec.source.secretName", "integer", "string")),
    _row("an empty name of a Secret", _source(secretName=""), _empty("spec.source.secretName")),
    _row("a name of a Secret too long", _source(secretName="x" * 254), _long("spec.source.secretName", 253)),
    _row(
        "workers with a branch",
        {"workers": 2, **_source(revision="main")},
        "spec.source.revision: Forbidden: workers fetch one by one, and a branch or a tag may move meanwhile: give the "
        "whole name of a commit",
    ),
    # datasets
    _row("a text for datasets", {"datasets": "a"}, _type("spec.datasets", "string", "array")),
    _row(
        "a text for a dataset",
        {"datasets": ["a"]},
        'spec.datasets[0]: Invalid value: "a": must be an object for an array of list-type map',
        _type("spec.datasets[0]", "string", "object"),
    ),
    _row(
        "too many datasets",
        {"datasets": [{"name": f"d{number}", "uri": "s3://b/k"} for number in range(17)]},
        _many("spec.datasets", 17, 16),
    ),
    _row("a dataset that is nowhere", {"datasets": [{"name": "a"}]}, _required("spec.datasets[0].uri")),
    _row("a dataset without a name", {"datasets": [{"uri": "s3://b/k"}]}, _required("spec.datasets[0].name")),
    _row(
        "a dataset twice",
        {"datasets": [{"name": "a", "uri": "s3://b/k"}, {"name": "a", "uri": "s3://b/k"}]},
        'spec.datasets[1]: Duplicate value: {"name":"a"}',
    ),
    _row("a number for a dataset's name", _dataset(name=7), _type("spec.datasets[0].name", "integer", "string")),
    _row("a dataset's name too long", _dataset(name="x" * 64), _long("spec.datasets[0].name", 63)),
    _row(
        "a dataset's name in capitals",
        _dataset(name="A"),
        "spec.datasets[0].name: Forbidden: must be lower case letters, digits, '-' or '.', and begin and end with a "
        "letter or a digit",
    ),
    _row("a number for a dataset's address", _dataset(uri=7), _type("spec.datasets[0].uri", "integer", "string")),
    _row("a dataset's address too long", _dataset(uri="s3://b/" + "x" * 2048), _long("spec.datasets[0].uri", 2048)),
    _row(
        "a path for a dataset's address",
        _dataset(uri="/data/a.csv"),
        "spec.datasets[0].uri: Forbidden: must be https://HOST/PATH, http://HOST/PATH, s3://BUCKET/KEY or "
        "file:///PATH, without a password",
    ),
    _row("a number for a digest", _dataset(digest=7), _type("spec.datasets[0].digest", "integer", "string")),
    _row("a digest too long", _dataset(digest="sha256:" + "0" * 65), _long("spec.datasets[0].digest", 71)),
    _row(
        "a digest of another kind",
        _dataset(digest="md5:0"),
        "spec.datasets[0].digest: Forbidden: must be sha256: and the 64 digits that sha256sum prints, in lower case",
    ),
    # onDuplicate
    _row(
        "a boolean for duplicates",
        {"onDuplicate": True},
        _type("spec.onDuplicate", "boolean", "string"),
        'spec.onDuplicate: Unsupported value: true: supported values: "Run", "Reuse"',
    ),
    _row(
        "something else for duplicates",
        {"onDuplicate": "Skip"},
        'spec.onDuplicate: Unsupported value: "Skip": supported values: "Run", "Reuse"',
    ),
    _row("an image by a tag to be reused", {"onDuplicate": "Reuse"}, f"spec.image: {_PINNED_IMAGE}"),
    _row(
        "a branch to be reused",
        {"onDuplicate": "Reuse", "image": _DIGEST, **_source(revision="main")},
        f"spec.source.revision: {_REUSE}: give the whole name of a commit, and no branch or tag",
    ),
    _row(
        "a dataset without a digest to be reused",
        {"onDuplicate": "Reuse", "image": _DIGEST, **_dataset()},
        f"spec.datasets: {_REUSE}: give each dataset its digest, as sha256sum prints it",
    ),
    # promote
    _row("a text for a promotion", {"promote": "heart"}, _type("spec.promote", "string", "object")),
    _row("a promotion of nothing", {"promote": {}}, _required("spec.promote.model")),
    _row("a number for a model", _promote(model=7), _type("spec.promote.model", "integer", "string")),
    _row("an empty model", _promote(model=""), _empty("spec.promote.model"), f"spec.promote.model: {_NO_MODEL}"),
    _row("a model too long", _promote(model="x" * 201), _long("spec.promote.model", 200)),
    _row("a model that no name can be", _promote(model="team/heart"), f"spec.promote.model: {_NO_MODEL}"),
    _row("a number for an alias", _promote(alias=7), _type("spec.promote.alias", "integer", "string")),
    _row("an empty alias", _promote(alias=""), _empty("spec.promote.alias"), f"spec.promote.alias: {_NO_ALIAS}"),
    _row("an alias too long", _promote(alias="x" * 101), _long("spec.promote.alias", 100)),
    _row("a version for an alias", _promote(alias="v1"), f"spec.promote.alias: {_NO_ALIAS}"),
    _row("a list for a condition", _promote(when=["x"]), _type("spec.promote.when", "array", "string")),
    _row("an empty condition", _promote(when=""), _empty("spec.promote.when")),
    _row("a condition too long", _promote(when="x" * 1001), _long("spec.promote.when", 1000)),
    _row(
        "a number for whom to beat",
        _promote(metric="f1", betterThan=7),
        _type("spec.promote.betterThan", "integer", "string"),
    ),
    _row(
        "an empty name of whom to beat",
        _promote(metric="f1", betterThan=""),
        _empty("spec.promote.betterThan"),
        f"spec.promote.betterThan: {_NO_ALIAS}",
    ),
    _row(
        "a name too long of whom to beat",
        _promote(metric="f1", betterThan="x" * 101),
        _long("spec.promote.betterThan", 100),
    ),
    _row(
        "whom to beat, by a name that is no alias",
        _promote(metric="f1", betterThan="latest"),
        f"spec.promote.betterThan: {_NO_ALIAS}",
    ),
    _row(
        "a metric, and nobody to beat",
        _promote(metric="f1"),
        "spec.promote.betterThan: Required value: metric and direction say how a run is better than another: name the "
        "other's alias",
    ),
    _row(
        "whom to beat, and no metric",
        _promote(betterThan="champion", when='params.a == "b"'),
        "spec.promote.metric: Required value: better than another by which metric? `when` names none: give one",
    ),
    _row(
        "a number for a metric",
        _promote(betterThan="champion", metric=7),
        _type("spec.promote.metric", "integer", "string"),
    ),
    _row("an empty metric", _promote(betterThan="champion", metric=""), _empty("spec.promote.metric")),
    _row("a metric too long", _promote(betterThan="champion", metric="x" * 251), _long("spec.promote.metric", 250)),
    _row(
        "a number for a direction",
        _promote(betterThan="champion", metric="f1", direction=7),
        _type("spec.promote.direction", "integer", "string"),
        'spec.promote.direction: Unsupported value: 7: supported values: "highest", "lowest"',
    ),
    _row(
        "a direction that is none",
        _promote(betterThan="champion", metric="f1", direction="up"),
        'spec.promote.direction: Unsupported value: "up": supported values: "highest", "lowest"',
    ),
    _row("a number for a reason", _promote(because=7), _type("spec.promote.because", "integer", "string")),
    _row("an empty reason", _promote(because=""), _empty("spec.promote.because")),
    _row("a reason too long", _promote(because="x" * 1025), _long("spec.promote.because", 1024)),
    # Several at once
    _row(
        "numbers out of bounds",
        {"backoffLimit": -1, "activeDeadlineSeconds": 0, "workers": 0},
        _least("spec.activeDeadlineSeconds", 0, 1),
        _least("spec.backoffLimit", -1, 0),
        _least("spec.workers", 0, 1),
    ),
    _row(
        "broken rules",
        {"image": None, "queueName": "team", "suspend": True, "experiment": "a\nb"},
        _NO_IMAGE,
        f"spec.experiment: {_ONE_LINE}",
        "spec.suspend: Forbidden: a queued training is suspended and resumed by its queue: leave suspend or queueName "
        "out",
    ),
    _row(
        "wrong types",
        {"image": 3, "suspend": "yes", "env": 7},
        _type("spec.env", "integer", "array"),
        _type("spec.image", "integer", "string"),
        _type("spec.suspend", "string", "boolean"),
    ),
    # metadata
    _row(
        "a name in capitals",
        {},
        'metadata.name: Invalid value: "Wine": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
        "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
        r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        name="Wine",
    ),
    _row(
        "a name too long",
        {},
        f'metadata.name: Invalid value: "{"x" * 254}": must be no more than 253 characters',
        name="x" * 254,
    ),
)

# Fields that are not there at all are told before anything else, together, in another sentence.
UNKNOWN = {
    "foo": {"foo": 1},
    "env.A": {"env": {"A": "1"}},
    "env[0].vlaue": {"env": [{"name": "a", "vlaue": "b"}]},
    "tracking.requireMetric": {"tracking": {"requireMetric": "f1"}},
    "podTemplate.spec.nope": {"podTemplate": {"spec": {"containers": [], "nope": 1}}},
    "podTemplate.metadata.name": {"podTemplate": {"metadata": {"name": "a"}}},
    "source.branch": {"source": {"git": "https://h/p", "branch": "main"}},
    "datasets[0].url": {"datasets": [{"name": "a", "uri": "s3://b/k", "url": "s3://b/k"}]},
    "resources.cpu": {"resources": {"cpu": 1}},
}
