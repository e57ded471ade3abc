"""Chromium, as a person has it in front of a page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

SCREENSHOTS = Path(os.environ.get("CI_ARTIFACTS") or Path(__file__).parents[2] / "build") / "screenshots"
_PROGRAM = shutil.which("chromium") or "chromium"  # the project's `make tools` installs it
# Chromium as root in a container has no sandbox and no GPU; the rest keeps it from calling home.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start it. Playwright's loop runs until it is closed, and no other test could have a loop of its own meanwhile."""
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PROGRAM, args=list(_FLAGS))
        yield browser
        browser.close()
