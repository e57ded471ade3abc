"""An attempt that fails unless an earlier one left the marker file, whose path is the argument."""

import sys
from pathlib import Path

import mlflow

marker = Path(sys.argv[1])
with mlflow.start_run():
    mlflow.log_param("first", not marker.exists())
    if not marker.exists():
        marker.touch()
        message = "the first attempt fails"
        raise RuntimeError(message)
    print("the second attempt succeeds", flush=True)
