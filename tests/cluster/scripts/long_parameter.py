"""A parameter that is longer than MLflow takes, under the name that is the argument."""

import os
import sys

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
    print("length", len(os.environ["PARAM_TEXT"]), flush=True)
    mlflow.log_param(sys.argv[1], os.environ["PARAM_TEXT"])
