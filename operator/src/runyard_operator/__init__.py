"""The operator: it watches TrainingRuns, launches their Jobs, and records what truly came of them."""
