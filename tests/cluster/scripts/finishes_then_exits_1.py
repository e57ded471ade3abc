"""A run that says FINISHED of a process that fails."""

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
raise OSError("could not write the report")
