"""One MLflow and one dashboard for all, and a browser for a person."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.dashboard.bed import Dashboard, Past, dashboard, past
from tests.operator.conftest import with_definition
from tests.support import chromium as browsers
from tests.support.apiserver import ApiServer
from tests.support.mlflow_server import MlflowRest, mlflow_server

SCREENSHOTS = browsers.SCREENSHOTS / "dashboard"


@pytest.fixture(scope="session")
def logged() -> Iterator[Past]:
    with mlflow_server() as server:
        yield past(server)


@pytest.fixture(scope="session")
def site(logged: Past) -> Iterator[Dashboard]:
    with dashboard(logged.server.url) as started:
        yield started


@pytest.fixture(scope="package")
def mlflow() -> Iterator[MlflowRest]:
    """An MLflow in which nothing was trained."""
    with mlflow_server() as found:
        yield found


@pytest.fixture(scope="package")
def server() -> Iterator[ApiServer]:
    """An API server with a namespace for trainings; their operator is the test."""
    with with_definition() as found:
        assert found.kubectl("create", "namespace", "team-a").returncode == 0
        yield found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with browsers.chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, site: Dashboard, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a new person; a picture of how it ends is kept. What a browser refuses or cannot run fails the test."""
    context = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    page.on("dialog", lambda dialog: wrong.append(f"a dialog: {dialog.message}"))
    yield page
    page.screenshot(path=SCREENSHOTS / f"{request.node.name}.png", full_page=True)
    context.close()
    assert not wrong
