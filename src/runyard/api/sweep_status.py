"""The status of a sweep: how far it is, and its best trial."""

from pydantic import Field

from runyard.api.model import Model
from runyard.api.outcome import Status, TrackingStatus


class TrialCounts(Model):
    """How many trials there are of each kind."""

    total: int = Field(0, description="How many there are to be.")
    running: int = Field(0, description="Those that have begun and have not ended, and those that wait for a node.")
    succeeded: int = Field(0, description="Those that ended well and logged the objective's metric.")
    failed: int = Field(0, description="Those that failed, logged no such metric, or were deleted.")
    pruned: int = Field(0, description="Those that were ended early.")


class BestTrial(Model):
    """The trial with the best value."""

    trial: str = Field(description="Name of its TrainingRun.")
    value: str = Field(description="Of the objective's metric, with all its digits.")
    run_id: str | None = Field(None, description="Its MLflow run.")
    parameters: dict[str, str] = Field(default_factory=dict, description="What it was tried with.")


class TrainingSweepStatus(Status):
    """What came of it, as the operator last saw it."""

    begun: int | None = Field(None, description="How many trials were begun: their indices are below this.")
    trials: TrialCounts | None = None
    progress: str | None = Field(None, description="Trials that have ended, of how many, for people.")
    best: BestTrial | None = Field(None, description="The best trial so far; of equals the first.")
    tracking: TrackingStatus | None = Field(None, description="The run above all trials' runs.")
