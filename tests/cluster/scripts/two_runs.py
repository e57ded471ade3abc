"""Two runs, one after the other, neither under the other."""

import mlflow

for number in (1, 2):
    with mlflow.start_run(run_name=f"run-{number}"):
        mlflow.log_metric("number", number)
        print(f"run {number} of 2", flush=True)
