"""A run with two runs below it, as a grid search makes them."""

import mlflow

with mlflow.start_run(run_name="grid"):
    for depth in (1, 2):
        with mlflow.start_run(run_name=f"depth-{depth}", nested=True):
            mlflow.log_metric("depth", depth)
    mlflow.log_metric("best", 2)
    print("2 children", flush=True)
