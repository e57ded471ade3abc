"""An attempt that fails unless an earlier one left the marker file; both log into the run that they are given."""

import sys
from pathlib import Path

import mlflow

marker = Path(sys.argv[1])
with mlflow.start_run():
    mlflow.log_metric("attempt", 2 if marker.exists() else 1)
    print("second" if marker.exists() else "first", flush=True)
    if not marker.exists():
        marker.touch()
        sys.exit("the first attempt fails")
