"""What a run says of how it came about, and what it does not say: all that is needed to repeat it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath

from runyard import manifest, validation
from runyard.api.model import JsonObject, as_list, as_object
from runyard.api.parameters import text_of
from runyard.api.records import (
    FOLDER_TAG,
    IMAGE_TAG,
    INSTALLATION_TAG,
    MACHINE_TAG,
    MANIFEST_ARTIFACT,
    POD_TAG,
    UID_TAG,
    RunStatus,
)
from runyard.api.source import ADDRESS_TAG, COMMIT, COMMIT_TAG
from runyard.api.trainingrun import TrainingRun
from runyard.comparison import of_result
from runyard.errors import ProvenanceUnavailable, RunyardError
from runyard.history import History, LoggedRun, NoSuchRun, UnreadableArtifact

_PINNED = re.compile(r"(?:[a-z-]+://)?([^\s@]+@sha256:[0-9a-f]{64})")
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_RUN_ID = re.compile("[0-9a-f]{32}")
_UID = re.compile("[0-9A-Za-z-]{1,64}")
_MOST_RUNS = 10_000
_DEEPEST = 16
_LEFT_OUT_SHOWN = 3


class Where(StrEnum):
    """Where a run is repeated."""

    MACHINE = "machine"
    CLUSTER = "cluster"


@dataclass(frozen=True)
class Gap:
    """Something that a run does not tell, or that is not there any more.

    Attributes:
        what: in a few words.
        why: why it matters, or what was found.
        remedy: what to do about it.
        is_in_the_way: whether the run cannot be repeated without it.
        where: where it matters; None: everywhere.

    """

    what: str
    why: str
    remedy: str
    is_in_the_way: bool = False
    where: Where | None = None


@dataclass(frozen=True)
class RecordedCode:
    """The code that a training without `spec.source` ran, as far as it is recorded.

    Attributes:
        commit: whole name of the commit.
        diff: digest of what was changed since, sha256:…; None where nothing was, or it is not known.
        is_diff_known: whether it is.
        address: of the repository that it came from.
        program: the program's file from the repository's root, or its name where there was no repository.
        script: the program's digest, sha256:…, where no commit is known.
        folder: the folder on that machine in which the command started.
        machine: that machine's name; None: it is not recorded.

    """

    commit: str | None = None
    diff: str | None = None
    is_diff_known: bool = False
    address: str | None = None
    program: str | None = None
    script: str | None = None
    folder: str | None = None
    machine: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What is known of a training from one of its runs.

    Attributes:
        run: the run that has the manifest; where none has, the one that was asked for.
        parts: all runs of that attempt, this one first.
        manifest: the TrainingRun as applied; empty where there is none that can be used.
        commit: of `spec.source`, its whole name.
        datasets: digests of `spec.datasets` by name, sha256:….
        image: the image it ran in, NAME@sha256:….
        code: the code, where the manifest has no source.
        provenance: its provenance.json, empty without one.
        ran: where it ran.
        gaps: what is not known, and why that matters.

    """

    run: LoggedRun
    parts: tuple[LoggedRun, ...]
    manifest: JsonObject = field(default_factory=dict)
    commit: str | None = None
    datasets: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    code: RecordedCode = field(default_factory=RecordedCode)
    provenance: JsonObject = field(default_factory=dict)
    ran: Where = Where.MACHINE
    gaps: tuple[Gap, ...] = ()

    @property
    def name(self) -> str:
        """The TrainingRun's name."""
        return str(as_object(self.manifest.get("metadata")).get("name", ""))

    @property
    def spec(self) -> JsonObject:
        """The TrainingRun's spec, as applied."""
        return as_object(self.manifest.get("spec"))

    @property
    def parameters(self) -> dict[str, str]:
        """The TrainingRun's parameters as text."""
        return {name: text_of(value) for name, value in as_object(self.spec.get("parameters")).items()}

    def gaps_of(self, where: Where) -> tuple[Gap, ...]:
        """Return what is not known, and matters to a repetition there."""
        return tuple(gap for gap in self.gaps if gap.where in {None, where})


def receipt(history: History, run: LoggedRun) -> Receipt:
    """Find out how a run came about.

    Any run of a training will do: a child of a grid has the receipt of the whole grid.

    Raises:
        TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

    """
    found, document, gap = _applied(history, run)
    if gap:
        return read_off(run, (run,), {}, *_provenance(history, run), gap)
    return read_off(found, runs_of(history, found), document, *_provenance(history, found))


def runs_of(history: History, chief: LoggedRun) -> tuple[LoggedRun, ...]:
    """Return the runs of an attempt, the one that stands for it first, the others by when they began."""
    pod, uid = chief.tags.get(POD_TAG, ""), chief.tags.get(UID_TAG, "")
    if _UID.fullmatch(pod):
        found = history.search(where=f"tags.`{POD_TAG}` = '{pod}'", limit=_MOST_RUNS)
    elif _UID.fullmatch(uid):
        # A run that all attempts share is of no one pod: of the others those below it count.
        every = history.search(where=f"tags.`{UID_TAG}` = '{uid}'", limit=_MOST_RUNS)
        parents = {found.id: found.parent_id for found in every}
        found = [one for one in every if chief.id in _line(one.id, parents)]
    else:
        found = []
    others = sorted((one for one in found if one.id != chief.id), key=lambda one: (one.started_at, one.id))
    return (chief, *others)


def _line(run_id: str, parents: Mapping[str, str | None]) -> Iterator[str]:
    """Yield a run and those that it is a part of; what anybody wrote may go round in a circle."""
    for _ in range(_DEEPEST):
        yield run_id
        above = parents.get(run_id)
        if above is None:
            return
        run_id = above


def _applied(history: History, run: LoggedRun) -> tuple[LoggedRun, JsonObject, Gap | None]:
    """Return the run of the training that has its manifest, and the manifest."""
    for candidate in _candidates(history, run):
        try:
            content = history.content(candidate, MANIFEST_ARTIFACT)
            if content is not None:
                return candidate, read_manifest(content), None
        except UnreadableArtifact as error:
            return candidate, {}, _unusable(str(error))
        except RunyardError as error:
            if error.exit_code == 2:  # noqa: PLR2004 it is wrong
                return candidate, {}, _unusable(str(error))
            raise
    return run, {}, Gap("the manifest", "no TrainingRun made this run", "", is_in_the_way=True)


def _candidates(history: History, run: LoggedRun) -> Iterator[LoggedRun]:
    """Yield the run, those that it is a part of, and the others of its pod that are no parts, the newest first."""
    seen = {run.id}
    yield run
    above: LoggedRun | None = run
    while above and above.parent_id and above.parent_id not in seen and len(seen) < _DEEPEST:
        above = _run(history, above.parent_id)
        if above:
            seen.add(above.id)
            yield above
    beside = [one for one in runs_of(history, run)[1:] if one.id not in seen and not one.parent_id]
    yield from list(reversed(beside))[:_DEEPEST]


def _run(history: History, run_id: str) -> LoggedRun | None:
    try:
        return history.find(run_id) if _RUN_ID.fullmatch(run_id) else None
    except NoSuchRun:  # it was deleted
        return None


def read_manifest(content: bytes) -> JsonObject:
    """Read a manifest that a run keeps: anybody may have written it.

    Raises:
        UnreadableManifest: it is too large, or no YAML.
        InvalidManifest: this version would refuse it.
        UnknownField: it has fields that this version does not know.

    """
    found = as_object(manifest.document_of(content, MANIFEST_ARTIFACT))
    validation.parse(found)
    return found


def _unusable(why: str) -> Gap:
    return Gap(
        "the manifest",
        " ".join(why.split()),
        f"look at {MANIFEST_ARTIFACT} in MLflow; a manifest that was mended can be given to `runyard run`",
        is_in_the_way=True,
    )


def _provenance(history: History, run: LoggedRun) -> tuple[JsonObject, Gap | None]:
    try:
        return history.provenance(run), None
    except ProvenanceUnavailable as error:
        return {}, Gap("code, packages and seeds", str(error), "nothing of it is used")


def read_off(
    run: LoggedRun,
    parts: Sequence[LoggedRun],
    document: JsonObject,
    provenance: JsonObject,
    *gaps: Gap | None,
) -> Receipt:
    """Make a receipt of what MLflow has: no I/O.

    Args:
        run: the one that has the manifest.
        parts: all runs of the attempt, this one first.
        document: the manifest, checked; empty where there is none.
        provenance: what `runyard.provenance` wrote; empty where it did not.
        gaps: what was in the way of reading these.

    """
    ran = Where.CLUSTER if INSTALLATION_TAG in run.tags else Where.MACHINE
    found = Receipt(run, tuple(parts), document, provenance=provenance, ran=ran)
    if not document:
        why = [_without_manifest(gap, provenance) for gap in gaps if gap]
        return replace(found, gaps=tuple(why))
    spec = TrainingRun.model_validate(document).spec
    source = spec.source
    commit = run.tags.get(COMMIT_TAG, "")
    is_its = source is not None and run.tags.get(ADDRESS_TAG) == source.git and re.fullmatch(COMMIT, commit)
    # The manifest's own name of it is the one that its credentials are for.
    pinned = _PINNED.fullmatch(spec.image or "") or _PINNED.fullmatch(run.tags.get(IMAGE_TAG, ""))
    found = replace(
        found,
        commit=commit if is_its else None,
        datasets={
            wanted.name: digest
            for wanted in spec.datasets or []
            if _DIGEST.fullmatch(digest := wanted.digest or run.datasets.get(wanted.name, ""))
        },
        image=pinned[1] if pinned else None,
        code=RecordedCode() if source else recorded_code(run, provenance),
    )
    told = [gap for gap in gaps if gap]
    return replace(found, gaps=(*told, *_unfit(found), *_not_pinned(found), *_not_told(found, told)))


def recorded_code(run: LoggedRun, provenance: JsonObject) -> RecordedCode:
    """Return what a run says of its code.

    Args:
        run: which.
        provenance: its provenance.json; empty without one.

    """
    code = as_object(provenance.get("code"))
    commit = str(code.get("commit") or run.tags.get(COMMIT_TAG) or "")
    commit = commit if re.fullmatch(COMMIT, commit) else ""
    words = [str(word) for word in as_list(provenance.get("command"))]
    left_out = as_object(provenance.get("left_out"))
    return RecordedCode(
        commit=commit or None,
        diff=str(code["diff"]) if code.get("diff") else None,
        is_diff_known=bool(code.get("commit")) and "diff" not in left_out,
        address=str(code.get("address") or run.tags.get(ADDRESS_TAG) or "") or None,
        program=next((word for word in words if PurePosixPath(word).suffix == ".py"), None),
        script=str(provenance["script"]) if provenance.get("script") else None,
        folder=run.tags.get(FOLDER_TAG),
        machine=run.tags.get(MACHINE_TAG),
    )


def _without_manifest(gap: Gap, provenance: JsonObject) -> Gap:
    """Add to a missing manifest what is known of how the run came about."""
    if gap.remedy:
        return gap
    command = ["python", *map(str, as_list(provenance.get("command")))]
    commit = as_object(provenance.get("code")).get("commit")
    at = f" at commit {commit}" if commit else ""
    said = f"`command: {json.dumps(command)}`{at}, which its provenance has" if len(command) > 1 else "its command"
    return replace(gap, remedy=f"write a TrainingRun with {said}, and start that with `runyard run`")


def _unfit(found: Receipt) -> Iterator[Gap]:
    """Yield what leaves nothing to reproduce."""
    run = found.run
    if run.status.is_open:
        yield Gap("a result", f"{run.name} has not ended: it is {run.status.value}", "wait for it", is_in_the_way=True)
    elif run.status is not RunStatus.FINISHED:
        ended = f"{run.outcome} ({run.reason})" if run.reason else run.outcome
        why = f"{run.name} ended as {ended}: what it logged before is no result"
        yield Gap("a result", why, "give a run that finished", is_in_the_way=True)
    elif not any(of_result(part.metrics) for part in found.parts):
        yield Gap("metrics", f"{run.name} logged none", "log what is to be the same", is_in_the_way=True)


def _not_pinned(found: Receipt) -> Iterator[Gap]:
    spec = TrainingRun.model_validate(found.manifest).spec
    for dataset in spec.datasets or []:
        if dataset.name not in found.datasets:
            why = "its digest is not recorded, so a change of it goes unnoticed"
            yield Gap(f"dataset {dataset.name}", why, "give spec.datasets[].digest")
    if spec.source and not found.commit and not re.fullmatch(COMMIT, spec.source.revision or ""):
        branch = spec.source.revision or "the default branch"
        why = f"which one was trained is not recorded, and {branch} may have moved"
        yield Gap("the commit", why, "give spec.source.revision a commit's whole name")
    if found.ran is Where.CLUSTER and not found.image:
        why = f"it is not recorded, and {spec.image or 'its tag'} may be another image by now"
        yield Gap("the image's digest", why, "pin spec.image as NAME@sha256:…", where=Where.CLUSTER)
    if found.ran is Where.CLUSTER:
        why = f"it ran in {found.image or spec.image or 'an image'}, which is not used on this machine"
        yield Gap("the environment", why, "--cluster repeats it there", where=Where.MACHINE)
    else:
        why = "it ran on a machine, whose packages and code are not the image's"
        yield Gap("the environment", why, "repeat it without --cluster", where=Where.CLUSTER)


def _not_told(found: Receipt, told: Sequence[Gap]) -> Iterator[Gap]:
    if not found.provenance:
        if not told:
            why = "they are not recorded"
            yield Gap("seeds and packages", why, "runyard.provenance.log() in the script records them")
        return
    names = [name for name in as_object(found.provenance.get("left_out")) if name.startswith(("commit", "diff"))]
    if names and not found.spec.get("source"):
        shown = ", ".join(names[:_LEFT_OUT_SHOWN]) + (" and more" if len(names) > _LEFT_OUT_SHOWN else "")
        why = f"not all of it is recorded ({shown})"
        yield Gap("the code", why, "--in-place trains what is there now", where=Where.MACHINE)
