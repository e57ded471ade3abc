"""A person with Chromium in front of the deployed MLflow."""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.wine import WineRuns, wine_runs
from tests.support.chromium import SCREENSHOTS, chromium


@pytest.fixture(scope="session")
def mlflow_url() -> str:
    """Where people open MLflow. On plain localhost it would open a chat panel beside each page, over the columns."""
    return os.environ.get("RUNYARD_MLFLOW_URL", "http://mlflow.localhost:8080").rstrip("/")


@pytest.fixture(scope="session")
def runs(mlflow_url: str) -> WineRuns:
    return wine_runs(mlflow_url)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, mlflow_url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a new person, whose browser remembers nothing; a picture of how it ends is kept, also on failure."""
    context = browser.new_context(base_url=mlflow_url, viewport={"width": 1920, "height": 1000})
    page = context.new_page()
    yield page
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png")
    context.close()
