"""Reading what an audit looks at: runs and versions in pages, folders of artifacts several at a time."""

import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from runyard.api.model import as_object
from runyard.api.records import ASSIGNED, MADE_TAG, MANIFEST_ARTIFACT, POD_TAG, UID_TAG, RunStatus
from runyard.api.trainingrun import Tracking
from runyard.audit.completeness import Attempt, attempts
from runyard.audit.folders import NAME, Folder, of_paths
from runyard.audit.metadata import recorded, to_read
from runyard.audit.promotion import PromotedVersion
from runyard.errors import ProvenanceUnavailable, TrackingUnavailable, UnreadableManifest
from runyard.history import History, LoggedRun, NoSuchRun, UnreadableArtifact
from runyard.manifest import LARGEST_BYTES as LARGEST_MANIFEST
from runyard.manifest import document_of
from runyard.provenance import FINGERPRINT_TAG
from runyard.provenance.records import ARTIFACT, LARGEST_BYTES, parsed
from runyard.tracking import answering, client

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

Progress = Callable[[int, int], None]

_AT_ONCE = 8
_PAGE = 1_000
# Above these the store is taken to be out of reach, and waiting for each of a thousand would be of no use.
_MOST_UNREAD = 10
_UID = re.compile(r"[0-9a-zA-Z-]{1,64}")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_IDS_AT_ONCE = 100


@dataclass(frozen=True)
class Evidence:
    """What the measures are taken of.

    Attributes:
        runs: those that are looked at.
        before: runs that began before those, and finished with a fingerprint.
        elsewhere: runs of the same attempts in other experiments, or from before.
        folders: what was read of artifacts, by run ID.
        unread: why those of some could not be read, by run ID.
        versions: model versions with an alias, once for each.

    """

    runs: Sequence[LoggedRun]
    elsewhere: Sequence[LoggedRun]
    folders: dict[str, Folder]
    unread: dict[str, str]
    versions: Sequence[PromotedVersion]
    before: Sequence[LoggedRun] = ()


def gather(history: History, experiment: str | None, since: datetime | None, progress: Progress) -> Evidence:
    """Read all that there is to look at.

    Args:
        history: where.
        experiment: its name; None: all.
        since: runs that began, and versions promoted, at that time or later; None: all.
        progress: is told how many folders are read, and of how many.

    Raises:
        NoSuchExperiment: there is none of that name.
        TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

    """
    moment = max(0, math.ceil(since.timestamp() * 1000)) if since else None
    where = f"attributes.start_time >= {moment}" if moment is not None else ""
    runs = history.search(experiment, where)
    before: list[LoggedRun] = []
    if moment is not None:
        runs = _begun_since(history, runs, moment)
        finished = f"attributes.start_time < {moment} AND attributes.status = '{RunStatus.FINISHED}'"
        before = history.search(experiment, f"{finished} AND tags.`{FINGERPRINT_TAG}` LIKE '%'")
    versions = _versions(history, runs, experiment, since)
    described = to_read(runs)
    reader = Reader(history, {run.id for run in described}, progress)
    reader.read(attempts(runs), described)
    elsewhere: list[LoggedRun] = []
    if where or experiment is not None:
        elsewhere = _elsewhere(history, runs, reader.folders)
        reader.read(attempts([*runs, *elsewhere]), [])
    return Evidence(runs, elsewhere, reader.folders, reader.unread, versions, before)


def _begun_since(history: History, runs: Sequence[LoggedRun], moment: int) -> list[LoggedRun]:
    """Leave out what is a part of a run that began before: a child without its parent lacks what the parent has."""
    found = {run.id: run for run in runs}
    asked: set[str] = set()
    while wanted := sorted({run.parent_id or "" for run in found.values()} - found.keys() - asked - {""}):
        asked |= {*wanted}
        ids = [parent for parent in wanted if _RUN_ID.fullmatch(parent)]
        earlier: set[str] = set()
        for first in range(0, len(ids), _IDS_AT_ONCE):
            listed = ", ".join(f"'{parent}'" for parent in ids[first : first + _IDS_AT_ONCE])
            asked_for = f"attributes.run_id IN ({listed}) AND attributes.start_time < {moment}"
            earlier |= {run.id for run in history.search(None, asked_for)}
        while parts := [run.id for run in found.values() if run.parent_id in earlier]:
            for part in parts:
                del found[part]
            earlier |= {*parts}
    return list(found.values())


def _elsewhere(history: History, runs: Sequence[LoggedRun], folders: dict[str, Folder]) -> list[LoggedRun]:
    """Return runs that were not looked at, of attempts whose log or manifest may be with them."""
    known = {run.id for run in runs}
    found: dict[str, LoggedRun] = {}
    for attempt in attempts(runs):
        folder = folders.get(attempt.chief.id)
        if folder and not (folder.has_log and folder.has_manifest) and _UID.fullmatch(attempt.pod):
            others = history.search(None, f"tags.`{POD_TAG}` = '{attempt.pod}'")
            uid = attempt.chief.tags.get(UID_TAG, "")
            if _UID.fullmatch(uid):
                shared = f"tags.`{UID_TAG}` = '{uid}' AND tags.`{MADE_TAG}` = '{ASSIGNED}'"
                others = [*others, *history.search(None, shared)]
            found |= {run.id: run for run in others if run.id not in known}
    return list(found.values())


class Reader:
    """Reads folders of artifacts, each once."""

    def __init__(self, history: History, with_provenance: set[str], progress: Progress) -> None:
        self.folders: dict[str, Folder] = {}
        self.unread: dict[str, str] = {}
        self._history = history
        self._with_provenance = with_provenance
        self._progress = progress

    def read(self, ended: Iterable[Attempt], others: Iterable[LoggedRun]) -> None:
        """Read the folders of attempts' chiefs, and of other runs.

        Raises:
            TrackingUnavailable: of too many none can be read.

        """
        chiefs = {attempt.chief.id: attempt for attempt in ended}
        runs = {run.id: run for run in [*(attempt.chief for attempt in chiefs.values()), *others]}
        wanted = [run for run in runs.values() if run.id not in self.folders and run.id not in self.unread]
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            asked = {
                pool.submit(self._folder, run, wants_manifest=run.id in chiefs and chiefs[run.id].has_succeeded): run
                for run in wanted
            }
            for number, done in enumerate(as_completed(asked), 1):
                run = asked[done]
                try:
                    self.folders[run.id] = done.result()
                except UnreadableArtifact as error:
                    self.unread[run.id] = str(error)
                except TrackingUnavailable as error:
                    self.unread[run.id] = str(error)
                    if len(self.unread) > _MOST_UNREAD:
                        raise
                self._progress(number, len(wanted))
        finally:
            pool.shutdown(cancel_futures=True)

    def _folder(self, run: LoggedRun, *, wants_manifest: bool) -> Folder:
        with answering(self._history.uri, f"read artifacts of run {run.id}"):
            repository = self._history.artifacts(run)
            sizes = {entry.path: entry.file_size or 0 for entry in repository.list_artifacts(NAME) if not entry.is_dir}
            found = of_paths(sizes)
            if wants_manifest and sizes.get(MANIFEST_ARTIFACT, LARGEST_MANIFEST) < LARGEST_MANIFEST:
                found = replace(found, asked=asked_for(_content(repository, MANIFEST_ARTIFACT)))
            if run.id in self._with_provenance and sizes.get(ARTIFACT, LARGEST_BYTES) < LARGEST_BYTES:
                found = replace(found, recorded=_recorded(_content(repository, ARTIFACT), run.id))
        return found


def _content(repository: "ArtifactRepository", path: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        return Path(repository.download_artifacts(path, scratch)).read_bytes()


def asked_for(manifest: bytes) -> Tracking | None:
    """Return what a TrainingRun wants logged; None where it is no TrainingRun: anybody may have written it."""
    try:
        spec = as_object(as_object(document_of(manifest, MANIFEST_ARTIFACT)).get("spec"))
        wanted = {name: value for name, value in as_object(spec.get("tracking")).items() if name.startswith("require")}
        return Tracking.model_validate(wanted)
    except (UnreadableManifest, ValidationError):
        return None


def _recorded(content: bytes, run_id: str) -> frozenset[str]:
    try:
        return frozenset(recorded(parsed(content, run_id)))
    except ProvenanceUnavailable:
        return frozenset()  # what cannot be read is of no use to anybody who wants the result again


def _versions(
    history: History, runs: Sequence[LoggedRun], experiment: str | None, since: datetime | None
) -> list[PromotedVersion]:
    """Return the versions with an alias, once for each: of an experiment those whose run is in it."""
    known = {run.id: run for run in runs}
    by_experiment: dict[str, list[LoggedRun]] = {}
    if since is None:
        for each in runs:
            by_experiment.setdefault(each.experiment, []).append(each)
    found: list[PromotedVersion] = []
    for version, aliases, model_tags in _with_aliases(history):
        promoted = [
            PromotedVersion(
                model=version.name,
                version=str(version.version),
                alias=alias,
                created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
                run_id=version.run_id or "",
                tags=dict(version.tags),
                model_tags=model_tags,
            )
            for alias in aliases
        ]
        wanted = [one for one in promoted if since is None or one.promoted_at >= since]
        if not wanted:
            continue
        run = known.get(version.run_id or "") or _run(history, version.run_id or "")
        if experiment is not None:
            # A run that was deleted is still known to have been in it: its version is there, and its evidence is not.
            place = run.experiment if run else history.experiment_of(version.run_id or "")
            if place != experiment:
                continue
        if run and run.experiment not in by_experiment:
            by_experiment[run.experiment] = history.search(run.experiment)
        others = by_experiment[run.experiment] if run else ()
        found += [replace(one, run=run, experiment_runs=others) for one in wanted]
    return found


def _with_aliases(history: History) -> "Iterator[tuple[ModelVersion, tuple[str, ...], dict[str, str]]]":
    mlflow_client = client(history.uri)
    token = None
    while True:
        with answering(history.uri, "list registered models"):
            page = mlflow_client.search_registered_models(max_results=_PAGE, page_token=token)
        for model in page:
            aliases: dict[str, list[str]] = {}
            for alias, number in model.aliases.items():
                aliases.setdefault(str(number), []).append(alias)
            for number, names in sorted(aliases.items()):
                with answering(history.uri, f"read version {number} of model {model.name}"):
                    version = mlflow_client.get_model_version(model.name, number)
                yield version, tuple(sorted(names)), dict(model.tags)
        token = page.token
        if not token:
            return


def _run(history: History, run_id: str) -> LoggedRun | None:
    if not run_id:
        return None
    try:
        found = history.find(run_id)
    except NoSuchRun:
        return None
    return found if found.id == run_id else None
