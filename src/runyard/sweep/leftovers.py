"""Processes of an earlier command that was killed: they train on, and would end a trial that is begun anew."""

import os
import signal
from contextlib import suppress
from pathlib import Path

_PROCESSES = Path("/proc")


def end(parent_run_id: str) -> int:
    """Kill what still runs of a sweep's trials on this machine; return how many process groups there were.

    A training's processes carry the run above theirs in MLFLOW_RUN_CONTEXT. Where the system does not show processes'
    environments below /proc, nothing is found.
    """
    own = os.getpgrp()
    groups = {group for group in map(_group_of, _processes(parent_run_id)) if group not in {None, own}}
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    return len(groups)


def _processes(parent_run_id: str) -> list[int]:
    mark = f'"mlflow.parentRunId": "{parent_run_id}"'.encode()
    found = []
    for folder in _PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # it is another's, or has just ended
            variables = (folder / "environ").read_bytes().split(b"\0")
            if any(each.startswith(b"MLFLOW_RUN_CONTEXT=") and mark in each for each in variables):
                found.append(int(folder.name))
    return found


def _group_of(process: int) -> int:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return os.getpgrp()
