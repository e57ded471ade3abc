"""A run that logs a metric and then waits, for the seconds given as the argument or until it is stopped."""

import sys
import time

import mlflow

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else float("inf")
deadline = time.monotonic() + seconds

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
    print("waiting", flush=True)
    while time.monotonic() < deadline:
        time.sleep(min(1, max(0, deadline - time.monotonic())))
