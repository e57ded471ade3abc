"""A person with Chromium in front of the deployed MLflow."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.wine import WineRuns, wine_runs

CHROMIUM = shutil.which("chromium") or "chromium"  # the project's `make tools` installs it
# Chromium as root in a container has no sandbox and no GPU; the rest keeps it from calling home.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SCREENSHOTS = Path(os.environ.get("CI_ARTIFACTS") or Path(__file__).parents[2] / "build") / "screenshots"


@pytest.fixture(scope="session")
def mlflow_url() -> str:
    """Where people open MLflow. On plain localhost it would open a chat panel beside each page, over the columns."""
    return os.environ.get("RUNYARD_MLFLOW_URL", "http://mlflow.localhost:8080").rstrip("/")


@pytest.fixture(scope="session")
def runs(mlflow_url: str) -> WineRuns:
    return wine_runs(mlflow_url)


# Playwright's loop runs until it is closed, and no other test could have a loop of its own meanwhile.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, mlflow_url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a new person, whose browser remembers nothing; a picture of how it ends is kept, also on failure."""
    context = browser.new_context(base_url=mlflow_url, viewport={"width": 1920, "height": 1000})
    page = context.new_page()
    yield page
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    context.close()
