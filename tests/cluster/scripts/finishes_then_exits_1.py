"""A run that says FINISHED of a process that fails."""

import sys

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
sys.exit("could not write the report")
