"""The machine that code runs on."""

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 10


@dataclass(frozen=True)
class Hardware:
    """A machine, as far as this process may use it.

    Attributes:
        machine: the processor's architecture.
        processor: its model, where it is known.
        cpus: how many processors may be used; a container may be given a part of one.
        memory_bytes: how much memory there is, or as much of it as the container may use.
        gpus: the model of each.

    """

    machine: str
    processor: str | None
    cpus: float
    memory_bytes: int | None
    gpus: tuple[str, ...]


def hardware(cgroup: Path = Path("/sys/fs/cgroup")) -> Hardware:
    """Look at the machine, and at the limits of this process's control group."""
    return Hardware(
        machine=platform.machine(),
        processor=_processor(),
        cpus=_cpus(cgroup),
        memory_bytes=_memory_bytes(cgroup),
        gpus=_gpus(),
    )


def _processor() -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)):
        return found[1]
    return platform.processor() or None


def _cpus(cgroup: Path) -> float:
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = _words(cgroup / "cpu.max") or [
        *_words(cgroup / "cpu" / "cpu.cfs_quota_us"),
        *_words(cgroup / "cpu" / "cpu.cfs_period_us"),
    ]
    # Without a quota its word is "max" or -1.
    quota = int(words[0]) / int(words[1]) if len(words) == 2 and all(map(str.isdecimal, words)) else there  # noqa: PLR2004
    return min(there, quota)


def _memory_bytes(cgroup: Path) -> int | None:
    words = [*_words(cgroup / "memory.max"), *_words(cgroup / "memory" / "memory.limit_in_bytes")]
    limits = [int(word) for word in words if word.isdecimal()]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _gpus() -> tuple[str, ...]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip())
