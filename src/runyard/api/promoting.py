"""How a model gets an alias, and loses it again: the steps, whoever makes the requests.

The library makes them through MLflow's client and the operator over its REST API; each is a `Models`. The order of the
requests is what two promotions at once depend on, so it is here and nowhere else: docs/promotion.md has the protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from runyard.api import alias_history, promotion
from runyard.api.alias_history import Change, Entry, Record
from runyard.api.model import format_time
from runyard.api.promote import CHAMPION
from runyard.api.promotion import Holder, Promotion, WrongPromotion
from runyard.api.registered_models import Candidate, Models, RegisteredModel
from runyard.api.when import Kind, Verdict
from runyard.errors import TrackingUnavailable

# Every round but the last ends with a write of ours that was refused, or that another's overtook.
_MOST_ROUNDS = 100


@dataclass(frozen=True)
class Promoted:
    """What came of a promotion.

    Attributes:
        promoted: whether the run's version has the alias.
        because: why, with what was compared.
        version: the run's version of the registered model; None where there is none.
        instead_of: the version that has the alias otherwise, or had it before.
        was_so: whether it had the alias before it was asked for.
        was_overtaken: whether it deserved the alias, and another that deserved it more came meanwhile.

    """

    promoted: bool
    because: str
    version: int | None
    instead_of: int | None
    was_so: bool = False
    was_overtaken: bool = False


@dataclass(frozen=True)
class RolledBack:
    """What came of a rollback.

    Attributes:
        done: whether the earlier version has the alias.
        because: why.
        version: the earlier one.
        instead_of: the one that had the alias.

    """

    done: bool
    because: str
    version: int
    instead_of: int | None


@dataclass(frozen=True)
class Asked:
    """How a promotion is asked for.

    Attributes:
        because: said by a person, recorded before what was compared.
        by: who asks.
        force: promote it whatever was compared.
        dry_run: say what would be done, and do nothing.

    """

    because: str = ""
    by: str = ""
    force: bool = False
    dry_run: bool = False


async def promote(models: Models, candidate: Candidate, wanted: Promotion, how: Asked) -> Promoted:
    """Register a run's model and give it the alias, if what is asked for holds.

    One that is cut short at any moment is gone on with by the next for the same run, which leaves one version, one
    record and the reason that it was begun with.
    """
    run_id = candidate.facts.id
    state = await _observed(models, wanted.model, wanted.alias, dry_run=how.dry_run)
    holder = state.course(wanted.alias).holder
    version = await _version_of(models, wanted.model, candidate)
    if version is not None and version == holder:
        begun = _begun(state, wanted.alias, version, run_id)
        is_there = state.aliases.get(wanted.alias) == version
        if begun is None and is_there:
            because = f"version {version} is the {wanted.alias} already"
            return Promoted(promoted=True, because=because, version=version, instead_of=None, was_so=True)
        if begun is not None:
            if how.dry_run or (is_there and begun.record.settled and _is_told(candidate, wanted, begun.record)):
                return _outcome(begun.record, version, version, was_so=is_there)
            return await _carried_through(models, candidate, wanted, state, begun)
        verdict = Verdict(holds=True, because="its promotion had begun, and was not ended")
    else:
        verdict = promotion.decide(wanted, candidate.facts, await _holder(models, wanted, state))
    forced = how.force and not verdict.holds
    because = _joined(how.because, f"forced, though {verdict.because}" if forced else verdict.because)
    if how.dry_run or not (verdict.holds or how.force):
        return Promoted(verdict.holds or how.force, because, version, holder)
    version = version or await _register(models, wanted.model, candidate)
    metric = wanted.metric if wanted.metric and not candidate.facts.lacks(Kind.METRICS, wanted.metric) else None
    record = Record(
        change=Change.PROMOTED,
        version=version,
        instead_of=holder,
        run_id=run_id,
        metric=metric,
        value=repr(candidate.facts.metrics[metric]) if metric else None,
        direction=wanted.direction,
        must_be_better=wanted.better_than == wanted.alias and verdict.holds,
        at=datetime.now(UTC),
        by=how.by,
        because=alias_history.reason(because),
    )
    entry = _entry(wanted.alias, state, record)
    await models.write(wanted.model, entry)
    return await _carried_through(models, candidate, wanted, state, entry)


async def _carried_through(
    models: Models, candidate: Candidate, wanted: Promotion, state: RegisteredModel, entry: Entry
) -> Promoted:
    """Go on with a promotion that is written down: move the alias, and say so to people."""
    record = entry.record
    version = record.version or 0
    was_so = record.settled and state.aliases.get(wanted.alias) == version
    now = version if was_so else await _moved(models, wanted.model, entry)
    if now == version and not _is_told(candidate, wanted, record):
        tags = {
            promotion.PROMOTED_TO_TAG: _address(wanted),
            promotion.PROMOTED_AT_TAG: format_time(record.at),
            promotion.PROMOTED_BECAUSE_TAG: record.because,
            promotion.PROMOTED_FROM_TAG: "" if record.instead_of is None else str(record.instead_of),
            promotion.PROMOTED_BY_TAG: record.by,
        }
        await _tell(models, wanted.model, version, candidate.facts.id, tags)
    if now == version:
        return _outcome(record, version, now, was_so=was_so)
    because = await _overtaken(models, wanted, record, now)
    return Promoted(promoted=False, because=because, version=version, instead_of=now, was_overtaken=True)


async def rollback(models: Models, model: str, alias: str = CHAMPION, *, because: str = "", by: str = "") -> RolledBack:
    """Give an alias back to the version that had it before the one that has it now.

    Raises:
        WrongPromotion: there is no such model, or nothing before, or that was deleted.

    """
    promotion.asked(model, alias)
    state = await _observed(models, model, alias)
    if not state.is_there:
        raise WrongPromotion(f'there is no registered model "{model}"')
    line = state.course(alias).line
    now = line[-1]
    before = next((version for version in reversed(line) if version not in {None, now}), None)
    if before is None:
        what = f"version {now} is the first {alias} of {model}" if now else f"{model} has never had a {alias}"
        raise WrongPromotion(f"{what} that is on record: there is nothing to go back to")
    restored = await models.version(model, before)
    if restored is None:
        raise WrongPromotion(f"version {before}, the {alias} before, was deleted: promote a run instead")
    because = because or "no reason was given"
    record = Record(
        change=Change.ROLLED_BACK,
        version=before,
        instead_of=now,
        run_id=restored.run_id or None,
        at=datetime.now(UTC),
        by=by,
        because=alias_history.reason(because),
    )
    entry = _entry(alias, state, record)
    await models.write(model, entry)
    came_to = await _moved(models, model, entry)
    if came_to != before:
        meanwhile = f"version {came_to} became the {alias} meanwhile"
        return RolledBack(done=False, because=meanwhile, version=before, instead_of=came_to)
    lost = await models.version(model, now) if now else None
    if lost is not None:
        tags = {
            promotion.ROLLED_BACK_AT_TAG: format_time(record.at),
            promotion.ROLLED_BACK_BECAUSE_TAG: record.because,
            promotion.ROLLED_BACK_BY_TAG: record.by,
        }
        await _tell(models, model, lost.version, lost.run_id, tags)
    return RolledBack(done=True, because=because, version=before, instead_of=now)


async def _observed(models: Models, model: str, alias: str, *, dry_run: bool = False) -> RegisteredModel:
    """Read a registered model; what moved its alias without writing it down is written down."""
    state = await models.read(model)
    while True:
        now = datetime.now(UTC)
        mine, course = state.of(alias), state.course(alias)
        found = state.aliases.get(alias)
        if found == course.holder or any(entry.is_open(now) for entry in mine):
            return state
        # What was read while somebody wrote may be of two moments.
        again = await models.read(model)
        if again != state:
            state = again
            continue
        record = Record(
            change=Change.MOVED,
            version=found,
            instead_of=course.holder,
            at=now,
            because="found so; MLflow does not say by whom and why",
            settled=True,
        )
        # Whoever else finds the same writes the same.
        entry = Entry(alias, alias_history.next_number(mine), f"moved-{found or 'nobody'}", record)
        if dry_run:
            return RegisteredModel(state.is_there, state.aliases, [*state.history, entry])
        await models.write(model, entry)
        state = await models.read(model)


async def _moved(models: Models, model: str, entry: Entry) -> int | None:
    """Put the alias where all that is written down says it should be, with an entry that is; return where that is."""
    for _ in range(_MOST_ROUNDS):
        state = await models.read(model)
        holder = state.course(entry.alias).holder
        if holder is None or state.aliases.get(entry.alias) == holder:
            # Only now: while it is open, an alias that is elsewhere is taken to be on its way.
            await models.write(model, entry.settled)
            return holder
        await models.set_alias(model, entry.alias, holder)
    raise TrackingUnavailable(
        f"the alias {entry.alias} of {model} cannot be set, or does not stay: something else moves it all the time"
    )


async def _version_of(models: Models, model: str, candidate: Candidate) -> int | None:
    """Return the version of a run's model, the first one; None where there is none."""
    sources = await models.sources(candidate)
    listed = await models.versions_of(candidate.facts.id)
    found = sorted(each.version for each in listed if each.model == model and each.source in sources)
    return found[0] if found else None


async def _register(models: Models, model: str, candidate: Candidate) -> int:
    """Make a version of a run's model and return it: one, whoever makes it at the same time."""
    await models.create_model(model)
    source, *_ = await models.sources(candidate)
    made = await models.create_version(model, source, candidate)
    first = await _version_of(models, model, candidate)
    if first is None or first == made:
        return made
    await models.delete_version(model, made)
    return first


async def _holder(models: Models, wanted: Promotion, state: RegisteredModel) -> Holder | None:
    """Return who has the alias that a run must be better than, or is about to."""
    if wanted.better_than is None:
        return None
    if wanted.better_than == wanted.alias:
        version = state.course(wanted.alias).holder
    else:
        version = state.aliases.get(wanted.better_than)
    if version is None:
        return None
    found = await models.version(wanted.model, version)
    return Holder(version, await models.run(found.run_id) if found and found.run_id else None)


async def _overtaken(models: Models, wanted: Promotion, record: Record, now: int | None) -> str:
    state = await models.read(wanted.model)
    winner = next(
        (
            entry.record
            for entry in reversed(state.of(wanted.alias))
            if entry.record.version == now and entry.record.change is not Change.MOVED
        ),
        None,
    )
    meanwhile = f"version {now} became the {wanted.alias} meanwhile"
    comparable = winner and winner.value and record.value and winner.metric == record.metric
    if winner is None or not comparable or record.metric is None:
        return f"{meanwhile}: ask again, and it is compared with that"
    value, other = float(str(record.value)), float(str(winner.value))
    said = promotion.compared(record.metric, record.direction, value, other, f"version {now}").because
    return f"{meanwhile}: {said}"


async def _tell(models: Models, model: str, version: int, run_id: str, tags: Mapping[str, str]) -> None:
    """Write tags for people on a version and on its run; what tells the history is the registered model's."""
    await models.tag_version(model, version, tags)
    # Last: a run that has them tells that all is done.
    if run_id and await models.run(run_id) is not None:
        await models.tag_run(run_id, tags)


def _begun(state: RegisteredModel, alias: str, version: int, run_id: str) -> Entry | None:
    """Return the promotion of a run by which it has the alias, or is to get it."""
    mine = [entry for entry in state.of(alias) if entry.record.version == version]
    last = mine[-1] if mine else None
    is_of_run = last and last.record.change is Change.PROMOTED and last.record.run_id == run_id
    return last if is_of_run else None


def _is_told(candidate: Candidate, wanted: Promotion, record: Record) -> bool:
    """Whether the run says of this promotion, or of a later one of it."""
    tags, at = candidate.facts.tags, format_time(record.at)
    told_at = tags.get(promotion.PROMOTED_AT_TAG, "")
    return told_at > at or (told_at == at and tags.get(promotion.PROMOTED_TO_TAG) == _address(wanted))


def _address(wanted: Promotion) -> str:
    return f"{wanted.model}@{wanted.alias}"


def _outcome(record: Record, version: int, now: int, *, was_so: bool) -> Promoted:
    return Promoted(now == version, record.because, version, record.instead_of, was_so=was_so)


def _entry(alias: str, state: RegisteredModel, record: Record) -> Entry:
    return Entry(alias, alias_history.next_number(state.of(alias)), uuid4().hex[:8], record)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
