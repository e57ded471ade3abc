"""From a training to the model version that people use: how long it took, and on what evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from runyard.api.alias_history import Change, Entry, entries, replay
from runyard.api.promotion import PROMOTED_AT_TAG, PROMOTED_BECAUSE_TAG, PROMOTED_TO_TAG, SELECTED_DURING_TAG
from runyard.audit.measures import Finding, Measure, Name, Times, counted, duration, lacking, listed
from runyard.comparison import of_result
from runyard.history import LoggedRun
from runyard.trees import ancestors

_REMEDY = "`runyard promote` checks the run before it sets the alias, and writes down when and why."


@dataclass(frozen=True)
class PromotedVersion:
    """A version of a registered model under one of its aliases: under each it was promoted by itself.

    Attributes:
        model: the registered model's name.
        version: its number, as text.
        alias: such as champion.
        created_at: when the version was made.
        run_id: the run that it says it is of; empty where it says none.
        run: that run; None where it is gone.
        experiment_runs: all runs of that run's experiment.
        tags: the version's, which tell of the last promotion, under whichever alias that was.
        model_tags: the registered model's, which have the history of its aliases.

    """

    model: str
    version: str
    alias: str
    created_at: datetime
    run_id: str = ""
    run: LoggedRun | None = None
    experiment_runs: Sequence[LoggedRun] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    model_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_moved_by_hand(self) -> bool:
        """Whether the alias came to it by something that wrote no reason, after others had been promoted."""
        told = [entry.record for entry in self._history if str(entry.record.version) == self.version]
        holder = replay(self._history).holder
        return bool(self._history) and (str(holder) != self.version or told[-1].change is Change.MOVED)

    @property
    def promoted_at(self) -> datetime:
        """When it was promoted: what its promotion wrote, else when the version was made."""
        if self._own:
            return self._own.record.at
        return moment(self._told.get(PROMOTED_AT_TAG, "")) or self.created_at

    @property
    def because(self) -> str:
        """The reason that its promotion wrote; empty where there is none."""
        return (self._own.record.because if self._own else self._told.get(PROMOTED_BECAUSE_TAG, "")).strip()

    @property
    def candidates(self) -> list[LoggedRun]:
        """The runs of its experiment that had begun when it was promoted."""
        return [run for run in self.experiment_runs if run.started_at <= self.promoted_at]

    @property
    def replaced(self) -> Entry | None:
        """The promotion before it, the last by which another version took the alias; None: none is known."""
        earlier = [
            entry
            for entry in self._promotions
            if str(entry.record.version) != self.version and entry.record.at < self.promoted_at
        ]
        return max(earlier, key=lambda entry: entry.record.at, default=None)

    @property
    def is_first(self) -> bool:
        """Whether the history begins with its promotion."""
        began = min(self._promotions, key=lambda entry: entry.record.at, default=None)
        return began is not None and str(began.record.version) == self.version and began.record.at >= self.promoted_at

    @property
    def _history(self) -> list[Entry]:
        return [entry for entry in entries(self.model_tags) if entry.alias == self.alias]

    @property
    def _promotions(self) -> list[Entry]:
        """The promotions by which a version came to have the alias."""
        history = self._history
        overtaken = replay(history).overtaken
        return [entry for entry in history if entry.record.change is Change.PROMOTED and entry not in overtaken]

    @property
    def _own(self) -> Entry | None:
        """The last promotion by which it came to have the alias; None: none is on record."""
        return next((entry for entry in reversed(self._promotions) if str(entry.record.version) == self.version), None)

    @property
    def _told(self) -> Mapping[str, str]:
        """What the version says of this promotion: nothing, where it tells of one under another alias."""
        to = self.tags.get(PROMOTED_TO_TAG, "")
        return self.tags if to in {"", f"{self.model}@{self.alias}"} else {}

    @property
    def took(self) -> timedelta | None:
        """The time from what it came of to its promotion; None where its run is gone.

        That is its run, the run that this one is a part of, or the first run after the promotion before it; of the
        first promotion the first of all.
        """
        if self.run is None:
            return None
        own = [self.run, *ancestors(self.run, {run.id: run for run in self.experiment_runs})]
        before = self.replaced
        if self.is_first:
            tried = self.candidates
        else:
            tried = [run for run in self.candidates if before and run.started_at > before.record.at]
        return max(self.promoted_at - min(run.started_at for run in (*own, *tried)), timedelta())

    @property
    def since_first(self) -> timedelta | None:
        """The time from the first run of its experiment to its promotion; None where its run is gone."""
        if self.run is None:
            return None
        return self.promoted_at - min((run.started_at for run in self.candidates), default=self.promoted_at)

    @property
    def selection(self) -> timedelta | None:
        """How long somebody compared before this promotion, where that was written down."""
        began, _, ended = self.tags.get(SELECTED_DURING_TAG, "").partition("/")
        first, last = moment(began), moment(ended)
        # What is there may be of an earlier promotion.
        return last - first if first and last and first <= last == self.promoted_at else None

    @property
    def lacks(self) -> list[str]:
        """What there is no evidence of."""
        found = [] if self.run else ["run"]
        if not self.run or not of_result(self.run.metrics):
            found.append("metrics")
        # What is on record may be of an earlier promotion.
        if not self.because or self.is_moved_by_hand:
            found.append("reason")
        return found


def moment(text: str) -> datetime | None:
    """Read a moment as ISO 8601 writes it, without a zone in UTC; None where it is none: anybody can write a tag.

    >>> moment("2026-03-01T12:00:00Z"), moment("yesterday")
    (datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.timezone.utc), None)
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def promotion(versions: Sequence[PromotedVersion]) -> Measure:
    """Measure what share of the versions with an alias has its evidence, and how long it took to get there."""
    complete = sum(not one.lacks for one in versions)
    by_part = {part: sum(part in one.lacks for one in versions) for part in ("run", "metrics", "reason")}
    times = Times.of(one.took for one in versions if one.took is not None)
    chosen = Times.of(one.selection for one in versions if one.selection is not None)
    from_first = Times.of(one.since_first for one in versions if one.since_first is not None)
    facts = {"selected": chosen.count if chosen else 0}
    if chosen:
        facts["selectionSeconds"] = round(chosen.median.total_seconds())
    if from_first:
        facts["sinceFirstRunSeconds"] = round(from_first.median.total_seconds())
    worst = sorted(
        versions, key=lambda one: (-len(one.lacks), -(one.took or timedelta()), one.model, one.version, one.alias)
    )
    return Measure(
        name=Name.PROMOTION,
        count=complete,
        of=len(versions),
        what="model versions with an alias",
        meaning=lacking(len(versions) - complete, len(versions), "promoted version", by_part),
        remedy=_REMEDY,
        behind=tuple(_finding(one) for one in worst),
        times=times,
        facts=by_part | facts,
    )


def _finding(one: PromotedVersion) -> Finding:
    looked_at = f"{counted(len(one.candidates), 'run')} before it" if one.run else "its run is gone"
    first = f", {duration(one.since_first)} since the first" if one.since_first is not None else ""
    took = f", {duration(one.took)} since {_beginning(one)}" if one.took not in {None, one.since_first} else ""
    chosen = f", chosen in {duration(one.selection)}" if one.selection is not None else ""
    lack = f"; no {listed(one.lacks)}" if one.lacks else ""
    by_hand = f"; {one.alias} moved by hand" if one.is_moved_by_hand else ""
    name = f"{one.model} {one.version} ({one.alias})"
    return Finding((one.run_id,) if one.run_id else (), name, f"{looked_at}{first}{took}{chosen}{lack}{by_hand}")


def _beginning(one: PromotedVersion) -> str:
    return f"the first after version {one.replaced.record.version}" if one.replaced else "its own"
