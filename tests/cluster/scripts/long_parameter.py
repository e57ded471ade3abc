"""A parameter that is longer than MLflow takes."""

import os

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
    print("length", len(os.environ["PARAM_TEXT"]), flush=True)
    mlflow.log_param("text", os.environ["PARAM_TEXT"])
