"""Whether two TrainingRuns ask for the same result: the fingerprint of a manifest, and what such a result must be.

docs/provenance.md specifies the fingerprint such that another program can compute it.
"""

import re
from collections.abc import Iterator

from pydantic import JsonValue

from runyard.api import canonical
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.parameters import text_of
from runyard.api.source import COMMIT, Source
from runyard.api.trainingrun import PINNED_IMAGE, TRAINING_CONTAINER, OnDuplicate, TrainingRunSpec
from runyard.errors import Problem

VERSION = 1

_AS_WRITTEN = ("command", "args", "workingDir", "env", "envFrom", "volumes", "volumeMounts", "podTemplate")


def fingerprint(spec: TrainingRunSpec) -> str:
    """Return sha256: and the digest of what a manifest says of a result; of equal manifests it is the same."""
    return canonical.digest(decisive(spec))


def decisive(spec: TrainingRunSpec) -> JsonObject:
    """Return what the fingerprint is of: where and how often it is trained is no part, nor what is recorded of it."""
    given = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    found: JsonObject = {
        "manifestFingerprint": VERSION,
        "image": (pinned(spec.image) or spec.image) if spec.image else None,
        "parameters": {name: text_of(value) for name, value in spec.parameters.items()},
        "source": _source(spec.source) if spec.source else None,
        "datasets": {dataset.name: dataset.digest or dataset.uri for dataset in spec.datasets or []},
        "workers": spec.workers,
        **{name: given.get(name) for name in _AS_WRITTEN},
    }
    return {name: value for name, value in found.items() if value not in (None, [], {})}


def pinned(image: str) -> str | None:
    """Return the digest by which an image is named; None where it is named by a tag.

    >>> pinned("example/wine:1"), pinned("example/wine@sha256:" + "0" * 64)[:10]
    (None, 'sha256:000')
    """
    return image.rpartition("@")[2] if re.search(PINNED_IMAGE, image) else None


def problems(spec: TrainingRunSpec) -> list[Problem]:
    """Find what is not pinned of a training that another's result may stand for, where no rule of the schema sees it.

    These are the images of a pod's other containers, and that of the training where only its template names one.
    """
    if spec.on_duplicate is not OnDuplicate.REUSE:
        return []
    return [
        Problem(
            path,
            "Forbidden: Reuse needs what cannot become another meanwhile: name the image by its digest, "
            "NAME@sha256:DIGEST, and not by a tag",
        )
        for path, image in _images(spec)
        if not pinned(image)
    ]


def _source(source: Source) -> JsonObject:
    commit = source.revision if source.revision and re.search(COMMIT, source.revision) else None
    which: dict[str, str | None] = {"commit": commit} if commit else {"git": source.git, "revision": source.revision}
    return {name: value for name, value in {**which, "path": source.path}.items() if value is not None}


def _images(spec: TrainingRunSpec) -> Iterator[tuple[str, str]]:
    """Return the images that only podTemplate names, with their paths."""
    pod = as_object((spec.pod_template or {}).get("spec"))
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(map(as_object, as_list(pod.get(kind)))):
            is_training = kind == "containers" and container.get("name") == TRAINING_CONTAINER
            if not (is_training and spec.image):
                image: JsonValue = container.get("image", "")
                yield f"spec.podTemplate.spec.{kind}[{index}].image", str(image)
