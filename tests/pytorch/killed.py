"""Run a script that is killed at one of its calls of MLflow: `killed.py CALL NUMBER SCRIPT ARGUMENTS`."""

import os
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

import mlflow

name, number, script = sys.argv[1], int(sys.argv[2]), sys.argv[3]
working = getattr(mlflow, name)
calls = 0


def call(*given: Any, **more: Any) -> Any:
    global calls  # noqa: PLW0603
    calls += 1
    if calls == number:
        if name == "log_artifact":
            # As a file that is written over: half of the new one is there.
            os.truncate(given[0], Path(given[0]).stat().st_size // 2)
            working(*given, **more)
        os.kill(os.getpid(), signal.SIGKILL)
    return working(*given, **more)


setattr(mlflow, name, call)
sys.argv = sys.argv[3:]
runpy.run_path(script, run_name="__main__")
