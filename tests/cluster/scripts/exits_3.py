"""A process that ends inside its run, too suddenly for MLflow to notice: the run is left RUNNING."""

import os

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
    print("about to exit with code 3", flush=True)
    os._exit(3)
