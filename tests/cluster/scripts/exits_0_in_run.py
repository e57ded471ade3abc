"""A script that is done in the middle of its run; MLflow takes any exit there for a failure."""

import sys

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
    print("done early", flush=True)
    sys.exit(0)
