#!/usr/bin/env python3
"""Run the test bed's commands with the system's Python, before any environment exists: see README.md."""

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
runpy.run_module("tests.testbed.cli", run_name="__main__")
