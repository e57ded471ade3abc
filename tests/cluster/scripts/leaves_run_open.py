"""A run that is begun and never ended, of a process that ends well after the seconds given as the argument.

In between it needs no MLflow.
"""

import os
import sys
import time

import mlflow

mlflow.start_run()
mlflow.log_metric("accuracy", 0.5)
print("waiting", flush=True)
time.sleep(float(sys.argv[1]))
print("done", flush=True)
os._exit(0)
