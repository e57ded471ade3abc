"""Promotion of models in MLflow's registry: a run's model gets an alias, with the reason on record, and loses it again.

    registry = Registry("http://mlflow:5000")
    wanted = promotion.asked("heart", when=when.read("metrics.f1_score >= 0.9"), better_than="champion")
    registry.promote(history.find("deep"), wanted).because

docs/promotion.md tells how two promotions at once come to one champion.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from runyard.api import alias_history, promotion
from runyard.api.alias_history import Change, Entry, Record
from runyard.api.model import format_time
from runyard.api.promotion import CHAMPION, Holder, Promotion, WrongPromotion
from runyard.api.when import Facts, Kind, Verdict
from runyard.errors import TrackingUnavailable
from runyard.registry import Models, RegisteredModel

if TYPE_CHECKING:
    from runyard.history import LoggedRun

# Every round but the last ends with a write of ours that was refused, or that another's overtook.
_MOST_ROUNDS = 100
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Promoted:
    """What came of a promotion.

    Attributes:
        promoted: whether the run's version has the alias.
        because: why, with what was compared.
        version: the run's version of the registered model; None where there is none.
        instead_of: the version that has the alias otherwise, or had it before.
        was_so: whether it had the alias before it was asked for.

    """

    promoted: bool
    because: str
    version: int | None
    instead_of: int | None
    was_so: bool = False


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


class Registry:
    """The registered models of an MLflow server or database. Every failure to reach it is a `TrackingUnavailable`."""

    def __init__(self, uri: str) -> None:
        """Open it."""
        self._models = Models(uri)

    def promote(
        self,
        run: LoggedRun,
        wanted: Promotion,
        *,
        because: str = "",
        by: str | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> Promoted:
        """Register a run's model and give it the alias, if what is asked for holds.

        Args:
            run: whose model.
            wanted: what is asked, made by `runyard.api.promotion.asked`.
            because: said by a person, recorded before what was compared.
            by: who asks; None: the user of this process.
            force: promote it whatever was compared.
            dry_run: say what would be done, and do nothing.

        Raises:
            WrongPromotion: the run logged no model.
            TrackingUnavailable: MLflow does not answer.

        """
        if run.model is None:
            raise WrongPromotion(f"run {run.id} logged no model: there is nothing to promote")
        state = self._observed(wanted.model, wanted.alias, dry_run=dry_run)
        holder = state.course(wanted.alias).holder
        version = self._models.version_of(wanted.model, run)
        if version is not None and state.aliases.get(wanted.alias) == version == holder:
            return Promoted(
                promoted=True,
                because=f"version {version} is the {wanted.alias} already",
                version=version,
                instead_of=None,
                was_so=True,
            )
        facts = _facts(run)
        if version is not None and version == holder:
            verdict = Verdict(holds=True, because="its promotion had begun, and was not ended")
        else:
            verdict = promotion.decide(wanted, facts, self._holder(wanted, state))
        because = _joined(
            because, f"forced, though {verdict.because}" if force and not verdict.holds else verdict.because
        )
        if dry_run or not (verdict.holds or force):
            return Promoted(verdict.holds or force, because, version, holder)
        version = version or self._models.register(wanted.model, run)
        metric = wanted.metric if wanted.metric and not facts.lacks(Kind.METRICS, wanted.metric) else None
        record = Record(
            change=Change.PROMOTED,
            version=version,
            instead_of=holder,
            run_id=run.id,
            metric=metric,
            value=repr(run.metrics[metric]) if metric else None,
            direction=wanted.direction,
            must_be_better=wanted.better_than == wanted.alias and verdict.holds,
            at=datetime.now(UTC),
            by=_user(by),
            because=alias_history.reason(because),
        )
        now = self._move(wanted.model, wanted.alias, state, record)
        if now != version:
            return Promoted(
                promoted=False, because=self._overtaken(wanted, record, now), version=version, instead_of=now
            )
        self._models.tell(
            wanted.model,
            version,
            run.id,
            {
                promotion.PROMOTED_TO_TAG: f"{wanted.model}@{wanted.alias}",
                promotion.PROMOTED_AT_TAG: format_time(record.at),
                promotion.PROMOTED_BECAUSE_TAG: record.because,
                promotion.PROMOTED_FROM_TAG: "" if holder is None else str(holder),
                promotion.PROMOTED_BY_TAG: record.by,
            },
        )
        return Promoted(promoted=True, because=because, version=version, instead_of=holder)

    def rollback(self, model: str, alias: str = CHAMPION, *, because: str = "", by: str | None = None) -> RolledBack:
        """Give an alias back to the version that had it before the one that has it now.

        Args:
            model: the registered model.
            alias: which of its aliases.
            because: said by a person.
            by: who asks; None: the user of this process.

        Raises:
            WrongPromotion: there is no such model, or nothing before, or that was deleted.
            TrackingUnavailable: MLflow does not answer.

        """
        promotion.asked(model, alias)
        state = self._observed(model, alias)
        if not state.is_there:
            raise WrongPromotion(f'there is no registered model "{model}"')
        line = state.course(alias).line
        now = line[-1]
        before = next((version for version in reversed(line) if version not in {None, now}), None)
        if before is None:
            what = f"version {now} is the first {alias} of {model}" if now else f"{model} has never had a {alias}"
            raise WrongPromotion(f"{what} that is on record: there is nothing to go back to")
        restored = self._models.version(model, before)
        if restored is None:
            raise WrongPromotion(f"version {before}, the {alias} before, was deleted: promote a run instead")
        because = because or "no reason was given"
        record = Record(
            change=Change.ROLLED_BACK,
            version=before,
            instead_of=now,
            run_id=restored.run_id or None,
            at=datetime.now(UTC),
            by=_user(by),
            because=alias_history.reason(because),
        )
        came_to = self._move(model, alias, state, record)
        if came_to != before:
            meanwhile = f"version {came_to} became the {alias} meanwhile"
            return RolledBack(done=False, because=meanwhile, version=before, instead_of=came_to)
        lost = self._models.version(model, now) if now else None
        if lost is not None:
            self._models.tell(
                model,
                int(lost.version),
                lost.run_id,
                {
                    promotion.ROLLED_BACK_AT_TAG: format_time(record.at),
                    promotion.ROLLED_BACK_BECAUSE_TAG: record.because,
                    promotion.ROLLED_BACK_BY_TAG: record.by,
                },
            )
        return RolledBack(done=True, because=because, version=before, instead_of=now)

    def history(self, model: str) -> list[Entry]:
        """Return every move of the model's aliases that is on record, the oldest first.

        Raises:
            WrongPromotion: there is no such model.
            TrackingUnavailable: MLflow does not answer.

        """
        promotion.asked(model)
        state = self._models.read(model)
        if not state.is_there:
            raise WrongPromotion(f'there is no registered model "{model}"')
        return list(state.history)

    def aliases(self, model: str) -> dict[str, int]:
        """Return the versions that have an alias now, by alias; none where there is no such model."""
        return dict(self._models.read(model).aliases)

    def _observed(self, model: str, alias: str, *, dry_run: bool = False) -> RegisteredModel:
        """Read a registered model; what moved its alias without writing it down is written down."""
        state = self._models.read(model)
        while True:
            now = datetime.now(UTC)
            mine, course = state.of(alias), state.course(alias)
            found = state.aliases.get(alias)
            if found == course.holder or any(entry.is_open(now) for entry in mine):
                return state
            # What was read while somebody wrote may be of two moments.
            again = self._models.read(model)
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
            self._models.write(model, entry)
            state = self._models.read(model)

    def _move(self, model: str, alias: str, seen: RegisteredModel, record: Record) -> int | None:
        """Write down a move, and put the alias where all that is written down says it should be.

        Returns:
            The version that has it then.

        """
        entry = Entry(alias, alias_history.next_number(seen.of(alias)), uuid4().hex[:8], record)
        self._models.write(model, entry)
        for _ in range(_MOST_ROUNDS):
            state = self._models.read(model)
            holder = state.course(alias).holder
            if holder is None or state.aliases.get(alias) == holder:
                # Only now: while it is open, an alias that is elsewhere is taken to be on its way.
                self._models.write(model, entry.settled)
                return holder
            self._models.set_alias(model, alias, holder)
        raise TrackingUnavailable(
            f"the alias {alias} of {model} cannot be set, or does not stay: something else moves it all the time"
        )

    def _holder(self, wanted: Promotion, state: RegisteredModel) -> Holder | None:
        """Return who has the alias that a run must be better than, or is about to."""
        if wanted.better_than is None:
            return None
        if wanted.better_than == wanted.alias:
            version = state.course(wanted.alias).holder
        else:
            version = state.aliases.get(wanted.better_than)
        if version is None:
            return None
        found = self._models.version(wanted.model, version)
        return Holder(version, self._models.run(found.run_id) if found and found.run_id else None)

    def _overtaken(self, wanted: Promotion, record: Record, now: int | None) -> str:
        winner = next(
            (
                entry.record
                for entry in reversed(self._models.read(wanted.model).of(wanted.alias))
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


def _facts(run: LoggedRun) -> Facts:
    return Facts(run.id, run.status, run.metrics, run.params, run.tags)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _user(by: str | None) -> str:
    try:
        return alias_history.reason(getpass.getuser() if by is None else by)[:_LONGEST_NAME]
    except (KeyError, OSError):  # a container's user need not have a name
        return "unknown"
