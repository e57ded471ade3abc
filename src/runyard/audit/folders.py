"""What lies in a run's folder runyard/, as far as an audit wants it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from runyard.api.records import MANIFEST_ARTIFACT
from runyard.api.trainingrun import Tracking

NAME = str(PurePosixPath(MANIFEST_ARTIFACT).parent)
_LOG = f"{NAME}/log-"


@dataclass(frozen=True)
class Folder:
    """What was read of it.

    Attributes:
        has_log: there is a log, or what says why there is none.
        has_manifest: there is the TrainingRun.
        asked: what the TrainingRun wants logged; None where that was not read.
        recorded: the names of the fields that provenance.json has.

    """

    has_log: bool = False
    has_manifest: bool = False
    asked: Tracking | None = None
    recorded: frozenset[str] = field(default_factory=frozenset)


def of_paths(paths: Iterable[str]) -> Folder:
    """Return what the paths of its files say."""
    every = set(paths)
    return Folder(any(path.startswith(_LOG) for path in every), MANIFEST_ARTIFACT in every)
