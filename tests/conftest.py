"""How tests are shared among workers (`pytest --numprocesses`)."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests together, as they share servers, and give the one cluster to one worker."""
    for item in items:
        on_cluster = item.get_closest_marker("cluster") or item.get_closest_marker("browser")
        item.add_marker(pytest.mark.xdist_group("cluster" if on_cluster else item.path.as_posix()))
