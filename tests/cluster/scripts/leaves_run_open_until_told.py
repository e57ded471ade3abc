"""A run that is begun and never ended, of a process that ends well once there is a file at /tmp/told.

In between it needs no MLflow.
"""

import os
import time
from pathlib import Path

import mlflow

mlflow.start_run()
mlflow.log_metric("accuracy", 0.5)
print("waiting", flush=True)
while not Path("/tmp/told").exists():  # noqa: S108 in a pod of its own
    time.sleep(0.2)
print("done", flush=True)
os._exit(0)
