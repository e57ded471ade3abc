"""A sweep on this machine: many local trainings, some at a time, that go on where they were interrupted.

`running` has the steps, `memory` what MLflow knows of a sweep, `leftovers` ends what an interrupted sweep left behind.
"""

from runyard.sweep.running import Finished, Options, SweepInterrupted, run

__all__ = ["Finished", "Options", "SweepInterrupted", "run"]
