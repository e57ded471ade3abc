"""Accounts: what somebody may not see is as if it were not there, whichever page or address they try."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from mlflow import MlflowClient
from playwright.sync_api import Browser, expect

from runyard.cluster import Cluster
from runyard.dashboard.accounts import Accounts
from runyard.dashboard.app import application
from runyard.dashboard.site import Site
from runyard.dashboard.trainings import Trainings
from tests.chart.rendered import render
from tests.dashboard.accounts import THEIRS, VALUE, Team, ask, bind, signed, team
from tests.dashboard.bed import Answer, Dashboard, dashboard
from tests.dashboard.conftest import SCREENSHOTS
from tests.dashboard.test_changes import with_model
from tests.support.apiserver import ApiServer, kubeconfig
from tests.support.mlflow_server import MlflowRest
from tests.support.relay import relay_to
from tests.support.waiting import wait_for

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
EVERYTHING = ["get", "list", "watch", "create", "update", "patch", "delete"]
# As long as what they have is called, and called so nowhere.
NOWHERE = "zulux"
# What parts of an address name something that somebody has, and what they are given; others choose how it is shown.
NAMING = {"run_id", "namespace", "name", "run", "experiment", "path", "beside", "model", "pod", "grouping", "course"}
SHOWING = {
    *("q", "where", "outcome", "sort", "order", "offset", "limit", "page", "column", "metric", "direction", "x", "y"),
    *("format", "rows", "columns", "show", "output", "row", "place", "feature", "colour", "most", "rate", "threshold"),
    *("days", "week", "compared", "by", "at", "weak"),
}
CHOSEN = {"change": "cancel"}
PICTURES = {"picture", "figure"}


@dataclass(frozen=True)
class Bed:
    """Who there is, and what they have.

    Attributes:
        site: the dashboard.
        ada, bob, chief: tokens: of who may do all in team-a, who may list in team-b, and who may do all everywhere.
        mine, theirs: what team-a and team-b have.
        nobodys: a run without a namespace.

    """

    site: Dashboard
    server: ApiServer
    mlflow: MlflowRest
    ada: str
    bob: str
    chief: str
    mine: Team
    theirs: Team
    nobodys: str


def rule(*verbs: str) -> list[dict[str, Any]]:
    return [{"apiGroups": ["runyard.dev"], "resources": ["trainingruns"], "verbs": list(verbs)}]


@pytest.fixture(scope="module")
def bed(server: ApiServer, mlflow: MlflowRest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    scratch = tmp_path_factory.mktemp("accounts")
    server.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "team-b"}})
    settings = ["dashboard.authMode=client", "dashboard.allowChanges=true"]
    rules = render(settings=settings).one("ClusterRole", "runyard-runyard-dashboard")["rules"]
    own = scratch / "kubeconfig"
    own.write_text(kubeconfig(server.url, bind(server, "the-dashboard", "team-a", None, rules)))
    with dashboard(mlflow.url, "--cluster", "--allow-changes", "--auth-mode=client", KUBECONFIG=str(own)) as site:
        yield Bed(
            site,
            server,
            mlflow,
            bind(server, "ada", "team-a", "team-a", rule(*EVERYTHING)),
            bind(server, "bob", "team-b", "team-b", rule("get", "list")),
            bind(server, "chief", "team-a", None, rule(*EVERYTHING)),
            team(server, mlflow, "team-a", "alpha", 0.1234567891, scratch),
            team(server, mlflow, "team-b", THEIRS, VALUE, scratch),
            with_model(mlflow, "by-hand", 0.5),
        )


@pytest.fixture(scope="module")
def routes(bed: Bed) -> list[tuple[str, APIRoute]]:
    """All that the dashboard answers, as its application has it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(bed.server.kubeconfig))
        cluster = Cluster()
    whole = Site(bed.mlflow.url, Trainings(cluster), may_change=True, accounts=Accounts(cluster))
    included = [each for each in application(whole).routes if hasattr(each, "original_router")]
    whole.close()
    found = [
        (f"{each.include_context.prefix}{route.path}", route)
        for each in included
        for route in each.original_router.routes
    ]
    assert all(isinstance(route, APIRoute) for _, route in found)
    assert len(found) > 40
    return found


def given(name: str, of: Team, *, is_path: bool) -> str | list[str]:
    """Return what a part of an address is, to ask for something that a team has."""
    if is_path and name in CHOSEN:
        return CHOSEN[name]
    return {
        "run_id": of.runs["first"],
        "run": list(of.runs.values()),
        "beside": of.runs["second"],
        "namespace": of.namespace,
        "name": f"{of.word}-training" if is_path else f"{of.word}-model",
        "model": f"{of.word}-model",
        "experiment": f"{of.word}-experiment",
        "path": f"{of.word}-notes.txt",
        "pod": f"{of.word}-pod",
        "grouping": of.word,
        "course": f"{of.word}_metric",
    }[name]


def addresses(where: str, route: APIRoute, of: Team, base: Team) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Yield addresses of a route by which something that a team has is asked for."""
    flat = get_flat_params(route.dependant)
    named = set(re.findall(r"\{(\w+)", where))
    asked = [each.alias for each in flat if each.field_info.in_.value == "query"]
    unknown = set(asked) - NAMING - SHOWING
    assert not unknown, f"{where} asks for {unknown}: say what it is given here"
    pictures = next((list(each.field_info.annotation) for each in flat if each.alias in PICTURES & named), [None])
    for picture in pictures:
        path = where
        for name in named:
            value = picture.value if name in PICTURES else given(name, of, is_path=True)
            path = re.sub(rf"\{{{name}(:\w+)?\}}", str(value), path)
        query = [(name, given(name, of, is_path=False)) for name in asked if name in NAMING]
        if "run" in asked:
            query.append(("run", base.runs["first"]))  # one's own beside another's
        yield path, query


def secrets(bed: Bed) -> list[str]:
    return [THEIRS, str(VALUE)[:8], *bed.theirs.runs.values(), bed.theirs.uid]


def nowhere(theirs: Team) -> Team:
    """Return what is as theirs is, and does not exist."""
    runs = {name: f"{number:032x}" for number, name in enumerate(theirs.runs, 0xABCDEF)}
    return Team("team-z", NOWHERE, runs, theirs.uid)


def plain(answer: Answer, asked: Team) -> str:
    """Return an answer without what it was asked for, and without times."""
    text = answer.text
    for place, value in enumerate([*asked.runs.values(), asked.word, asked.namespace]):
        text = text.replace(value, f"<{place}>")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:[\d.]+)?(Z|\+00:00| UTC)?", "<time>", text)
    return re.sub(r'name="token" value="[^"]*"', "<token>", text)


def seen(bed: Bed) -> None:
    """Wait until the dashboard has read all there is."""

    def everything() -> bool:
        found = ask(bed.site, "/api/v1/runs", bed.chief, {"limit": 500})
        ids = {run["run_id"] for run in found.json()["runs"]} if found.status == 200 else set()
        return {*bed.theirs.runs.values(), *bed.mine.runs.values(), bed.nobodys} <= ids

    wait_for("all runs were read", everything)
    for token in (bed.ada, bed.chief):
        wait_for(
            "the audit has ended",
            lambda token=token: not ask(bed.site, "/api/v1/audit", token).json().get("is_going_on", True),
        )


def test_what_is_of_another_namespace_is_as_if_it_were_not_there(bed: Bed, routes: list[tuple[str, APIRoute]]) -> None:
    seen(bed)
    missing = nowhere(bed.theirs)
    shown = 0
    for place, route in routes:
        if "GET" not in route.methods or place == "/sign-in":
            continue
        pairs = zip(
            addresses(place, route, bed.theirs, bed.mine), addresses(place, route, missing, bed.mine), strict=True
        )
        for (path, query), (other, other_query) in pairs:
            where = f"{path} {query}"
            found, twin = ask(bed.site, path, bed.ada, query), ask(bed.site, other, bed.ada, other_query)
            assert (found.status, plain(found, bed.theirs)) == (twin.status, plain(twin, missing)), where
            assert found.status in {200, 403, 404, 422}, (where, found.text)
            text = plain(found, bed.theirs).lower()
            assert not [each for each in secrets(bed) if each in text], (where, text)
            # And without asking for anything of theirs.
            if "{" not in place:
                bare = ask(bed.site, path, bed.ada)
                assert not [each for each in secrets(bed) if each in bare.text.lower()], (path, bare.text)
            # Who may sees it: else nothing is shown by this.
            theirs = ask(bed.site, path, bed.chief, query)
            assert theirs.status == 200, (where, theirs.text)
            shown += any(each in theirs.text.lower() for each in secrets(bed))
    assert shown > 40
