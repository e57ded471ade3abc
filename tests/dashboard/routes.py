"""All that the dashboard answers, and addresses by which each is asked for something that a team has."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi.dependencies.utils import get_flat_params

from runyard.cluster import Cluster
from runyard.dashboard.accounts import Accounts
from runyard.dashboard.app import application
from runyard.dashboard.site import Site
from runyard.dashboard.trainings import Trainings
from tests.dashboard.accounts import Team
from tests.support.apiserver import ApiServer

# What parts of an address name something that somebody has; the others choose how it is shown.
NAMING = {"run", "experiment", "name", "path", "beside", "model", "pod", "by", "course"}
SHOWING = {
    *("q", "where", "outcome", "sort", "order", "offset", "limit", "page", "column", "metric", "direction", "x", "y"),
    *("format", "rows", "columns", "show", "output", "row", "place", "feature", "colour", "most", "rate", "threshold"),
    *("days", "week", "compared"),
}
# Of which there are several, each at an address of its own.
PICTURES = {"picture", "figure"}


@dataclass(frozen=True)
class Route:
    """A route of the application.

    Attributes:
        path: with names for what varies.
        methods: by which it is asked.
        asks: the names in its query.
        pictures: what its path has for a picture; None: it has none.

    """

    path: str
    methods: frozenset[str]
    asks: tuple[str, ...]
    pictures: tuple[str | None, ...]

    def addresses(self, of: Team, mine: Team) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
        """Yield paths and queries by which something that a team has is asked for, beside something of one's own."""
        unknown = {*self.asks} - NAMING - SHOWING
        assert not unknown, f"{self.path} asks for {unknown}: say what it is given here"
        query = [(name, _given(name, of)) for name in self.asks if name in NAMING]
        if "run" in self.asks:
            query.append(("run", mine.runs["first"]))
        for picture in self.pictures:
            parts = {
                "run_id": of.runs["first"],
                "namespace": of.namespace,
                "name": f"{of.word}-training",
                "change": "cancel",
                **dict.fromkeys(PICTURES, picture),
            }
            path = self.path
            for name, value in parts.items():
                path = path.replace(f"{{{name}}}", str(value))
            yield path, query


def _given(name: str, of: Team) -> str | list[str]:
    """Return what a part of a query is, to ask for something that a team has."""
    given: dict[str, str | list[str]] = {
        "run": list(of.runs.values()),
        "beside": of.runs["second"],
        "name": f"{of.word}-model",
        "model": f"{of.word}-model",
        "experiment": f"{of.word}-experiment",
        "path": f"{of.word}-notes.txt",
        "pod": f"{of.word}-pod",
        "by": of.word,
        "course": f"{of.word}_metric",
    }
    return given[name]


def every_route(server: ApiServer, tracking_uri: str) -> list[Route]:
    """Return all routes of the application, as it is with accounts and changes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig))
        cluster = Cluster()
    whole = Site(tracking_uri, Trainings(cluster), may_change=True, accounts=Accounts(cluster))
    included: list[Any] = [each for each in application(whole).routes if hasattr(each, "original_router")]
    whole.close()
    found = [
        _route(f"{each.include_context.prefix}{route.path}", route)
        for each in included
        for route in each.original_router.routes
    ]
    assert len(found) > 40
    return found


def _route(path: str, route: Any) -> Route:
    flat: list[Any] = get_flat_params(route.dependant)
    pictures = [[*each.field_info.annotation] for each in flat if each.alias in PICTURES]
    asks = tuple(each.alias for each in flat if each.field_info.in_.value == "query")
    return Route(
        path, frozenset(route.methods), asks, tuple(each.value for each in pictures[0]) if pictures else (None,)
    )
