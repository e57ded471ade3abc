"""The chart, rendered with each set of values that it is tested with."""

import os
from pathlib import Path

import pytest

from tests.chart.rendered import Rendered, render
from tests.support.kubectl import Kubectl
from tests.support.programs import CACHE


@pytest.fixture(scope="session", params=["default", "all", "external", "secrets"])
def chart(request: pytest.FixtureRequest) -> Rendered:
    """What every set of values must hold to."""
    return render(*([] if request.param == "default" else [request.param]))


@pytest.fixture(scope="session")
def default() -> Rendered:
    return render()


@pytest.fixture(scope="session")
def everything() -> Rendered:
    return render("all")


@pytest.fixture(scope="session")
def external() -> Rendered:
    return render("external")


@pytest.fixture(scope="session")
def kubectl() -> Kubectl:
    return Kubectl(Path(os.environ.get("KUBECONFIG", CACHE / "kubeconfig")))
