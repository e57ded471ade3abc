"""A process that takes memory inside its run until it is killed."""

import mlflow

with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.5)
    print("allocating", flush=True)
    taken = []
    while True:
        # Filled with ones: untouched pages are not counted against the limit.
        taken.append(b"\x01" * 2**24)
