"""What code runs in: packages, and the machine."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

_SECONDS = 10


@dataclass(frozen=True)
class Hardware:
    """A machine, as far as this process may use it.

    Attributes:
        machine: the processor's architecture.
        processor: its model, where it is known.
        cpus: how many processors may be used.
        memory_bytes: how much memory there is, or as much of it as the container may use.
        gpus: the model of each.

    """

    machine: str
    processor: str | None
    cpus: int
    memory_bytes: int | None
    gpus: tuple[str, ...]


def packages() -> dict[str, str]:
    """Return the version of each installed distribution by its normalised name."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            # The first on the path is the one that is imported.
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return dict(sorted(found.items()))


def hardware() -> Hardware:
    """Look at the machine."""
    return Hardware(
        machine=platform.machine(),
        processor=_processor(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        gpus=_gpus(),
    )


def _processor() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)):
        return found[1]
    return platform.processor() or None


def _memory_bytes() -> int | None:
    limits = [_limit(path) for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((limit for limit in limits if limit), default=None)


def _limit(path: str) -> int | None:
    try:
        text = Path(path).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _gpus() -> tuple[str, ...]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)  # noqa: S603
    except (FileNotFoundError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
