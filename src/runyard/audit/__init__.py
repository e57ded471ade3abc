"""An audit of an experiment or a whole server: five measures of how far its results can be relied on.

`audit` reads and measures; the measures themselves are functions of runs, each in a module of its own.
docs/audit.md defines them such that another program can compute them.
"""

from datetime import UTC, datetime

from runyard.audit.completeness import completeness
from runyard.audit.distinct import distinct
from runyard.audit.folders import Folder
from runyard.audit.markdown import markdown
from runyard.audit.measures import Finding, Measure, Name, Times
from runyard.audit.metadata import metadata
from runyard.audit.promotion import PromotedVersion, promotion
from runyard.audit.reading import Evidence, Progress, gather
from runyard.audit.report import Report, measured
from runyard.audit.reproduction import reproduction
from runyard.history import History

__all__ = [
    "Evidence",
    "Finding",
    "Folder",
    "Measure",
    "Name",
    "PromotedVersion",
    "Report",
    "Times",
    "audit",
    "completeness",
    "distinct",
    "gather",
    "markdown",
    "measured",
    "metadata",
    "promotion",
    "reproduction",
]


def audit(
    history: History,
    experiment: str | None = None,
    since: datetime | None = None,
    progress: Progress = lambda _done, _of: None,
) -> Report:
    """Audit an experiment, or a whole server.

    Args:
        history: where.
        experiment: its name; None: all.
        since: look only at runs that began then or later, and at versions promoted then or later; None: at all. Without
            a zone it is this machine's time.
        progress: is told how many folders of artifacts have been read, and of how many.

    Raises:
        NoSuchExperiment: there is none of that name.
        TrackingUnavailable: MLflow, or the store of its artifacts, does not answer.

    """
    began = since.astimezone(UTC) if since else None
    return measured(gather(history, experiment, began, progress), experiment, began)
