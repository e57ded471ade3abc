"""Programs that Debian's packages bring."""

import os
import shutil
from collections.abc import Iterable

from tests.testbed.shell import TestbedError, run, say

# The package of each program; the packages of others are called as they are.
PACKAGES = {"dockerd": "docker.io"}


def missing_packages(programs: Iterable[str], found: Iterable[str]) -> list[str]:
    """Return the packages to install for programs, given which of them were found."""
    there = set(found)
    return [PACKAGES.get(program, program) for program in programs if program not in there]


def can_install() -> bool:
    """Whether this user, on this machine, may install packages."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def ensure(*programs: str) -> None:
    """Install what is missing of some programs.

    Raises:
        TestbedError: something is missing, and this user or machine cannot install it.

    """
    wanted = missing_packages(programs, filter(shutil.which, programs))
    if not wanted:
        return
    listed = ", ".join(wanted)
    if not can_install():
        raise TestbedError(f"not on PATH: {listed}. Install it, or run as root on Debian, where the test bed does")
    say(f"installing {listed} …")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=quiet)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted], env=quiet)
