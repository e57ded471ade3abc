"""What an audit found: the five measures, as a value that can be printed, written down or judged."""

from dataclasses import dataclass
from datetime import UTC, datetime

from runyard.api.model import format_time
from runyard.audit.completeness import completeness
from runyard.audit.distinct import distinct
from runyard.audit.measures import Measure, Name
from runyard.audit.metadata import metadata
from runyard.audit.promotion import promotion
from runyard.audit.reading import Evidence
from runyard.audit.reproduction import reproduction


@dataclass(frozen=True)
class Report:
    """The five measures.

    Attributes:
        experiment: what was looked at; None: the whole server.
        since: runs that began before it were not looked at; None: all were.
        at: when it was taken.
        runs: how many runs were looked at.
        measures: in the order of their names above.
        unread: why the artifacts of some runs could not be read, by ID.

    """

    experiment: str | None
    since: datetime | None
    at: datetime
    runs: int
    measures: tuple[Measure, ...]
    unread: dict[str, str]

    def __getitem__(self, name: str) -> Measure:
        """Return a measure by its name."""
        return next(measure for measure in self.measures if measure.name is Name(name))

    @property
    def scope(self) -> str:
        """What was looked at, in words."""
        where = f"experiment {self.experiment}" if self.experiment is not None else "the whole server"
        since = f" since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""
        return f"{where}{since}: {self.runs:,} run{'' if self.runs == 1 else 's'}"

    def to_json(self) -> dict[str, object]:
        """Return it as data; lengths of time are in seconds."""
        return {
            "experiment": self.experiment,
            "since": format_time(self.since) if self.since else None,
            "at": format_time(self.at),
            "runs": self.runs,
            "measures": {measure.name.value: _measure(measure) for measure in self.measures},
            "unread": dict(self.unread),
        }


def measured(evidence: Evidence, experiment: str | None, since: datetime | None) -> Report:
    """Take the five measures."""
    runs = evidence.runs
    measures = (
        reproduction(runs),
        metadata(runs, evidence.folders, evidence.unread),
        promotion(evidence.versions),
        distinct(runs, evidence.before),
        completeness(runs, evidence.elsewhere, evidence.folders, evidence.unread),
    )
    return Report(experiment, since, datetime.now(UTC), len(runs), measures, evidence.unread)


def _measure(measure: Measure) -> dict[str, object]:
    times = measure.times
    return {
        "value": measure.value,
        "unit": measure.unit,
        "count": measure.count,
        "of": measure.of,
        "what": measure.what,
        "seconds": times
        and {"count": times.count, "median": times.median.total_seconds(), "p90": times.p90.total_seconds()},
        "facts": dict(measure.facts),
        "meaning": measure.meaning,
        "remedy": measure.remedy,
        "behind": [{"runs": list(each.runs), "name": each.name, "says": each.says} for each in measure.behind],
    }
