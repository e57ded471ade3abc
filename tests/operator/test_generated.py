"""Files that are derived from the resource's types are what would be derived now."""

import subprocess
import sys


def test_generated_files_are_up_to_date() -> None:
    check = subprocess.run(
        [sys.executable, "-m", "tests.support.generate", "--check"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, f"run `make generate`; stale: {check.stdout}{check.stderr}"
