#!/usr/bin/env python3
"""runc for a machine whose own capability bounding set is not full.

Docker 20.10 gives a privileged container every capability that the kernel knows, and runc then fails with "unable to
apply caps" where the machine itself lacks one. This takes out of the bundle what the machine does not have, and becomes
runc. It is copied out of the project, so it imports nothing of it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

# In the kernel's order: a capability's place is its bit.
CAPABILITIES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE
"""


def bounding_set(status: str) -> set[str]:
    """Return the capabilities that a process may ever have, given the text of /proc/<pid>/status."""
    mask = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
    return {f"CAP_{name}" for bit, name in enumerate(CAPABILITIES.split()) if mask >> bit & 1}


def specification(arguments: list[str]) -> Path | None:
    """Return the JSON file that runc is about to read: a bundle's, or an exec's."""
    if "--bundle" in arguments:
        return Path(arguments[arguments.index("--bundle") + 1]) / "config.json"
    if "exec" in arguments and "--process" in arguments:
        return Path(arguments[arguments.index("--process") + 1])
    return None


def bounded(document: dict[str, Any], have: set[str]) -> dict[str, Any]:
    """Return a bundle's or an exec's document with no capability that the machine lacks."""
    if "process" in document:
        return {**document, "process": bounded(document["process"], have)}
    sets = document.get("capabilities") or {}
    kept = {kind: [name for name in names if name in have] for kind, names in sets.items()}
    return {**document, "capabilities": kept} if sets else document


def main(arguments: list[str]) -> None:
    """Rewrite the document that runc is about to read, and become runc."""
    file = specification(arguments)
    if file and file.exists():
        have = bounding_set(Path("/proc/self/status").read_text())
        file.write_text(json.dumps(bounded(json.loads(file.read_text()), have)))
    os.execvp("runc", ["runc", *arguments])  # noqa: S606 it is to become the program, and there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])
