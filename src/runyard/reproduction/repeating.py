"""Repeating a training on this machine or in a cluster, and comparing what came of it."""

import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runyard import clusterless, local, validation
from runyard.api.outcome import Reason
from runyard.api.records import FOLDER_TAG, MACHINE_TAG
from runyard.api.repetition import Verdict
from runyard.api.status import SUCCEEDED, TRACKED, is_told
from runyard.api.trainingrun import TrainingRun
from runyard.cluster import Cluster, Deadline
from runyard.comparison import Diff, diff, of_result
from runyard.errors import ProvenanceUnavailable, RunyardError, TrackingUnavailable
from runyard.history import History, LoggedRun, NoSuchRun
from runyard.reproduction.code import CodeMissing, restored
from runyard.reproduction.manifests import SUFFIX_LENGTH, again, changed, derived_name
from runyard.reproduction.marking import marked
from runyard.reproduction.receipts import Gap, Receipt, Where, runs_of
from runyard.reproduction.verdicts import Reproduction, in_the_way, judged, matched

_LETTERS = string.ascii_lowercase + string.digits
_NOT_IN_CHECKOUT = (
    Gap(
        "other files",
        "files that git ignores are not in what was checked out",
        "name data in spec.datasets, or give --in-place",
    ),
)


class NoSuchMetric(RunyardError):
    """What is to be compared is no metric of the run."""

    exit_code = 2


@dataclass(frozen=True)
class Terms:
    """What counts as the same.

    Attributes:
        tolerance: by how much a metric may differ, relative to the larger of two; 0: not at all.
        only: the metrics that count; empty: all but MLflow's own of the machine (system/…).
        changes: other values of parameters, as text.
        suffix: five letters or digits for the end of the new TrainingRun's name; default: by chance.

    """

    tolerance: float = 0.0
    only: Sequence[str] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    suffix: str = field(default_factory=lambda: "".join(secrets.choice(_LETTERS) for _ in range(SUFFIX_LENGTH)))


@dataclass(frozen=True)
class Machine:
    """This machine, to repeat a training on.

    Attributes:
        tracking: the MLflow that the run is in, for the new one.
        folder: the manifest's folder; None: the recorded one.
        in_place: whether the code is to be what is in that folder now, whatever was recorded.
        echo: is given the training's output as it comes.

    """

    tracking: local.Tracking
    folder: Path | None = None
    in_place: bool = False
    echo: Callable[[bytes], None] = lambda _: None


def on_machine(
    history: History,
    found: Receipt,
    machine: Machine,
    terms: Terms | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Repeat a training as a process on this machine, and compare.

    It runs what the run says that it ran, with the rights of whoever asks: who may write to that MLflow decides it.

    Args:
        history: where the run is.
        found: its receipt.
        machine: where it is, and its code.
        terms: what counts as the same; default: every metric, to the last bit.
        tell: is given what is being done, in a sentence.

    Raises:
        WrongChange: the training has no parameter of that name.
        NoSuchMetric: the run has no metric of a name that is to be compared.
        NoSuchFolder: the folder is none.
        NotAFolders: the code is to be what a folder has, and is fetched.
        TrackingUnavailable: MLflow does not answer.

    """
    terms = terms or Terms()
    begun = _begun(found, Where.MACHINE, terms)
    if begun.verdict is Verdict.CANNOT:
        return begun
    name = derived_name(found.name, terms.suffix)
    document = again(found, name, Where.MACHINE, changes=terms.changes)
    try:
        wanted = validation.parse(document)
        local.check(wanted)
    except (local.NeedsCluster, local.NothingToRun) as error:
        return _cannot(begun, Gap("a cluster", str(error), "--cluster repeats it there", is_in_the_way=True))
    try:
        with restored(history, found, machine.folder, in_place=machine.in_place) as place:
            notes = [place.says]
            if place.is_other:
                document = again(found, name, Where.MACHINE, changes=terms.changes, is_other_code=True)
                wanted = validation.parse(document)
            if left_out := clusterless.ignored(wanted):
                notes.append(f"left out on this machine: {', '.join(left_out)}")
            tell(f"{wanted.metadata.name} repeats run {found.run.id}: {'; '.join(notes)}")
            result = local.run(wanted, place.folder, machine.tracking, machine.echo)
    except CodeMissing as error:
        return _cannot(begun, error.gap)
    tracked = result.status.condition(TRACKED)
    last = result.status.attempts[-1]
    if last.run_id is None or (tracked and tracked.reason == Reason.TRACKING_UNAVAILABLE):
        raise TrackingUnavailable(tracked.message if tracked else "MLflow was not told of the repetition")
    different = changed(found, document)
    begun = replace(begun, name=name, changed=different, is_other_code=place.is_other, notes=tuple(notes))
    now = history.find(last.run_id)
    # Where the code was checked out is gone by now: who repeats this one looks where the first one was.
    if place.is_scratch and found.code.folder:
        there = {MACHINE_TAG: found.code.machine} if found.code.machine else {}
        history.tag(now, {FOLDER_TAG: found.code.folder, **there})
    ended = marked(history, _ended(history, begun, result, now))
    missing = _NOT_IN_CHECKOUT if place.is_scratch and ended.verdict is Verdict.FAILED else ()
    return replace(ended, gaps=(*ended.gaps, *missing))


def in_cluster(
    history: History,
    found: Receipt,
    cluster: Cluster,
    terms: Terms | None = None,
    deadline: Deadline | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Reproduction:
    """Repeat a training in a cluster whose operator records to the same MLflow, and compare.

    Args:
        history: where the run is.
        found: its receipt.
        cluster: which one; it runs in the namespace that was named there, or else where it ran.
        terms: what counts as the same; default: every metric, to the last bit.
        deadline: how long it may take.
        tell: is given what is being done, in a sentence.

    Raises:
        WrongChange: the training has no parameter of that name.
        NoSuchMetric: the run has no metric of a name that is to be compared.
        Refused: the API server does not take the manifest.
        TimedOut: the time is over; the training goes on.
        ClusterUnavailable: the cluster does not answer.
        TrackingUnavailable: MLflow does not answer.

    """
    terms = terms or Terms()
    begun = _begun(found, Where.CLUSTER, terms)
    if begun.verdict is Verdict.CANNOT:
        return begun
    name = derived_name(found.name, terms.suffix)
    document = again(found, name, Where.CLUSTER, changes=terms.changes, namespace=cluster.named)
    validation.parse(document)
    created = cluster.create(document)
    cluster.namespace = created.metadata.namespace
    tell(f"{name} in namespace {cluster.namespace} repeats run {found.run.id}")
    result = _followed(cluster, name, deadline or Deadline(), tell)
    begun = replace(begun, name=name, changed=changed(found, document))
    run_id = result.status.tracking.run_id if result.status.tracking else None
    now = None
    if run_id:
        try:
            now = history.find(run_id)
        except NoSuchRun as error:
            why = f"the cluster records to another MLflow: {error}"
            gap = Gap("the repetition's run", why, "give --tracking-uri of the cluster's MLflow", is_in_the_way=True)
            return _cannot(begun, gap)
    return marked(history, _ended(history, begun, result, now))


def _followed(cluster: Cluster, name: str, deadline: Deadline, tell: Callable[[str], None]) -> TrainingRun:
    told = ""
    for seen in cluster.watch(name, deadline):
        says = f"{name} is {seen.status.phase}" + (f": {seen.status.message}" if seen.status.message else "")
        if seen.status.phase and says != told:
            tell(told := says)
        if is_told(seen.status):
            return seen
    raise AssertionError  # a watch goes on until it raises


def _begun(found: Receipt, where: Where, terms: Terms) -> Reproduction:
    """Return what is known before anything is started."""
    gaps = found.gaps_of(where)
    verdict = Verdict.CANNOT if any(gap.is_in_the_way for gap in gaps) else Verdict.FAILED
    there = {name for part in found.parts for name in of_result(part.metrics)}
    if verdict is not Verdict.CANNOT and (unknown := sorted({*terms.only} - there)):
        raise NoSuchMetric(
            f'--metric: {found.run.name} has no metric "{unknown[0]}"; there are: {", ".join(sorted(there))}'
        )
    return Reproduction(verdict, found, where, tolerance=terms.tolerance, only=tuple(terms.only), gaps=gaps)


def _cannot(begun: Reproduction, gap: Gap) -> Reproduction:
    return replace(begun, verdict=Verdict.CANNOT, gaps=(gap, *begun.gaps))


def _ended(history: History, begun: Reproduction, result: TrainingRun, now: LoggedRun | None) -> Reproduction:
    """Say what came of a training that has ended."""
    status = result.status
    verdict = status.condition(SUCCEEDED)
    last = status.attempts[-1] if status.attempts else None
    message = " ".join((status.message or "nothing is known of it").split())
    ended = replace(begun, run=now, reason=verdict.reason if verdict else None, message=message)
    if verdict is None or verdict.status != "True":
        gap = in_the_way([ended.reason, last.reason if last else None], message)
        return _cannot(ended, gap) if gap else replace(ended, verdict=Verdict.FAILED)
    if now is None:
        why = "the training succeeded, and its run is not known"
        return _cannot(ended, Gap("the repetition's run", why, "see its status", is_in_the_way=True))
    ended = replace(ended, pairs=matched(begun.receipt.parts, runs_of(history, now), begun.changed))
    return replace(ended, verdict=judged(ended.is_same, ended.varies), diff=_difference(history, ended, now))


def _difference(history: History, ended: Reproduction, now: LoggedRun) -> Diff:
    """Return in what both differ, of what decides a result: every metric has been compared."""
    try:
        provenance = history.provenance(now)
    except ProvenanceUnavailable:
        provenance = {}
    return diff(ended.receipt.run, now, ended.receipt.provenance, provenance)
