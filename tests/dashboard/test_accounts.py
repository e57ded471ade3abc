"""Accounts: what somebody may not see is as if it were not there, whichever page or address they try."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, Page, expect

from tests.chart.rendered import render
from tests.dashboard.accounts import THEIRS, VALUE, Team, ask, bind, difference, nowhere, plain, signed, team, token_of
from tests.dashboard.bed import Answer, Dashboard, dashboard
from tests.dashboard.conftest import SCREENSHOTS
from tests.dashboard.routes import Route, every_route
from tests.dashboard.test_changes import with_model
from tests.support.apiserver import ApiServer, kubeconfig
from tests.support.command_line import call
from tests.support.mlflow_server import MlflowRest, mlflow_server
from tests.support.relay import Relay, relay_to
from tests.support.waiting import wait_for

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
EVERYTHING = ["get", "list", "watch", "create", "update", "patch", "delete"]


@dataclass(frozen=True)
class Bed:
    """Who there is, and what they have.

    Attributes:
        site: the dashboard.
        ada, bob, chief: tokens: of who may do all in team-a, who may list in team-b, and who may do all everywhere.
        mine, theirs: what team-a and team-b have.
        nobodys: a run without a namespace.
        relay: what connects the dashboard and the API server.
        log: what the dashboard wrote.

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
    relay: Relay
    log: Path


def rule(*verbs: str) -> list[dict[str, Any]]:
    return [{"apiGroups": ["runyard.dev"], "resources": ["trainingruns"], "verbs": list(verbs)}]


@pytest.fixture(scope="module")
def mlflow() -> Iterator[MlflowRest]:
    """An MLflow of their own: other tests count what theirs has."""
    with mlflow_server() as found:
        yield found


@pytest.fixture(scope="module")
def bed(server: ApiServer, mlflow: MlflowRest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    scratch = tmp_path_factory.mktemp("accounts")
    server.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "team-b"}})
    settings = ["dashboard.authMode=client", "dashboard.allowChanges=true"]
    rules = render(settings=settings).one("ClusterRole", "runyard-runyard-dashboard")["rules"]
    own = scratch / "kubeconfig"
    own.write_text(kubeconfig(server.url, bind(server, "the-dashboard", "team-a", None, rules)))
    flags = ("--cluster", "--allow-changes", "--auth-mode=client")
    with (
        relay_to(own, scratch) as (relay, through),
        (scratch / "log").open("wb") as log,
        dashboard(mlflow.url, *flags, log=log, KUBECONFIG=str(through)) as site,
    ):
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
            relay,
            scratch / "log",
        )


@pytest.fixture(scope="module")
def routes(bed: Bed) -> list[Route]:
    """All that the dashboard answers."""
    return every_route(bed.server, bed.mlflow.url)


def secrets(bed: Bed) -> list[str]:
    return [THEIRS, str(VALUE)[:8], *bed.theirs.runs.values(), bed.theirs.uid]


def seen(bed: Bed) -> None:
    """Wait until the dashboard has read all there is."""

    def everything() -> bool:
        found = ask(bed.site, "/api/v1/runs", bed.chief, {"limit": 500})
        ids = {run["runId"] for run in found.json()["runs"]} if found.status == 200 else set()
        return {*bed.theirs.runs.values(), *bed.mine.runs.values(), bed.nobodys} <= ids

    wait_for("all runs were read", everything)
    for token in (bed.ada, bed.chief):
        wait_for("the audit has ended", partial(has_audited, bed, token))


def has_audited(bed: Bed, token: str) -> bool:
    return not ask(bed.site, "/api/v1/audit", token).json()["isGoingOn"]


def test_what_is_of_another_namespace_is_as_if_it_were_not_there(bed: Bed, routes: list[Route]) -> None:
    seen(bed)
    missing = nowhere(bed.theirs)
    wrong: list[Any] = []
    shown = 0
    for route in routes:
        if "GET" not in route.methods or route.path == "/sign-in":
            continue
        pairs = zip(route.addresses(bed.theirs, bed.mine), route.addresses(missing, bed.mine), strict=True)
        for (path, query), (other, other_query) in pairs:
            found, twin = ask(bed.site, path, bed.ada, query), ask(bed.site, other, bed.ada, other_query)
            texts = plain(found, bed.theirs), plain(twin, missing)
            if (found.status, texts[0]) != (twin.status, texts[1]) or found.status not in {200, 404, 422}:
                wrong.append((path, query, found.status, twin.status, difference(*texts)))
            # Also without asking for anything of theirs.
            bare = "" if "{" in route.path else ask(bed.site, path, bed.ada).text
            if told := [each for text in (*texts, bare) for each in secrets(bed) if each in text.lower()]:
                wrong.append((path, query, told))
            # Who may sees it: else nothing is shown by this.
            theirs = ask(bed.site, path, bed.chief, query)
            if theirs.status != 200:
                wrong.append((path, query, theirs.status, theirs.text))
            shown += any(each in theirs.text.lower() for each in secrets(bed))
    assert not wrong, "\n".join(map(str, wrong))
    assert shown > 40


def form(bed: Bed, path: str, token: str) -> tuple[dict[str, str], str]:
    """Open a page with a form; return its hidden fields, and the cookie that came with it."""
    answer = ask(bed.site, path, token)
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', answer.text))
    return hidden, answer.headers["set-cookie"].partition(";")[0]


def is_suspended(bed: Bed, of: Team) -> bool:
    found = bed.server.api.get("trainingrun", of.namespace, f"{of.word}-training")
    return bool(found["spec"].get("suspend"))


def test_without_a_token_that_the_cluster_knows_there_is_nothing(bed: Bed, routes: list[Route]) -> None:
    gone = bind(bed.server, "gone", "team-a", "team-a", rule("list"))
    bed.server.api.delete("serviceaccount", "team-a", "gone")
    expired, valid = (signed(bed.server, bed.chief, seconds) for seconds in (-60, 600))
    assert ask(bed.site, "/api/v1/account", valid).status == 200
    for route in routes:
        if route.path == "/sign-in":
            continue
        path, query = next(route.addresses(bed.theirs, bed.mine))
        for method in route.methods:
            answer = ask(bed.site, path, "", query, method)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), (method, path)
            assert answer.headers["cache-control"] == "no-store"
            if path.startswith("/api/"):
                assert set(answer.json()) == {"detail"}
            else:
                assert "<h1>Sign in</h1>" in answer.text
    for path, token in product(
        ("/", "/api/v1/runs", "/api/v1/openapi.json", "/nowhere"),
        ("x", "a b", "é", "x" * 20_000, gone, expired, bed.ada[:-5]),
    ):
        answer = ask(bed.site, path, Authorization=f"Bearer {token}".encode().decode("latin-1"))
        assert answer.status == 401, (path, token)
        assert not any(each in answer.text for each in (*secrets(bed), token[20:] or "runyard-token")), answer.text
    # Another kind of login, as an ingress asks for, is none; what the page is made of is no secret.
    assert ask(bed.site, "/", Authorization="Basic YTpi").status == 401
    assert ask(bed.site, "/static/icon.svg").status == 200


def test_who_may_list_a_namespace_sees_what_is_of_it_and_of_none(bed: Bed) -> None:
    seen(bed)
    mine, theirs = set(bed.mine.runs.values()), set(bed.theirs.runs.values())
    nothing: set[str] = set()
    for token, shown, hidden in ((bed.ada, mine, theirs), (bed.bob, theirs, mine), (bed.chief, mine | theirs, nothing)):
        ids = {run["runId"] for run in ask(bed.site, "/api/v1/runs", token, {"limit": 500}).json()["runs"]}
        assert shown | {bed.nobodys} <= ids
        assert not hidden & ids
    for token, names in ((bed.ada, ["alpha"]), (bed.bob, [THEIRS]), (bed.chief, ["alpha", THEIRS])):
        listed = ask(bed.site, "/api/v1/experiments", token).json()
        assert {f"{name}-experiment" for name in names} == {
            each["name"] for each in listed["experiments"] if each["name"].endswith("-experiment")
        }
        assert listed["state"]["runs"] == len(ask(bed.site, "/api/v1/runs", token, {"limit": 500}).json()["runs"])
        models = [each["name"] for each in ask(bed.site, "/api/v1/models", token).json()]
        assert [f"{name}-model" for name in names] == sorted(each for each in models if each.endswith("-model"))
        trainings = [each["name"] for each in ask(bed.site, "/api/v1/trainings", token).json()["trainings"]]
        assert {f"{name}-training" for name in names} == {
            each for each in trainings if each.startswith(("alpha", THEIRS))
        }
    for token, of in ((bed.ada, [bed.mine]), (bed.bob, [bed.theirs]), (bed.chief, [bed.mine, bed.theirs])):
        model = ask(bed.site, "/api/v1/models/model", token, {"name": "common"}).json()
        assert {version["runId"] for version in model["versions"]} == {each.runs["second"] for each in of}
        assert set(model["aliases"]) == {each.word for each in of}
    answer = ask(bed.site, "/api/v1/account", bed.ada).json()
    assert answer == {"name": "system:serviceaccount:team-a:ada", "seesAll": False}
    assert ask(bed.site, "/api/v1/account", bed.chief).json()["seesAll"] is True


def test_a_training_that_names_the_run_of_another_namespace_shows_nothing_of_it(bed: Bed) -> None:
    """Who writes a status names what they like in it."""
    body = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": "curious"},
        "spec": {"image": "example/image:1"},
    }
    bed.server.api.create("team-a", body)
    run_id = bed.theirs.runs["first"]
    theirs = bed.server.api.get("trainingrun", "team-b", f"{THEIRS}-training")["status"]["attempts"]
    status = {"phase": "Running", "attempts": theirs, "tracking": {"runId": run_id}}
    bed.server.api.patch("trainingrun", "team-a", "curious", {"status": status}, "status")
    path = "/api/v1/trainings/team-a/curious"
    wait_for("it is seen", lambda: ask(bed.site, path, bed.ada).json().get("status", {}).get("attempts"))
    assert f"{THEIRS} printed this" in ask(bed.site, f"/api/v1/trainings/team-b/{THEIRS}-training/log", bed.bob).text
    assert f"{THEIRS} printed this" not in ask(bed.site, f"{path}/log", bed.ada).text
    assert ask(bed.site, f"{path}/courses", bed.ada).json()["metrics"] == []
    assert f"{THEIRS} printed this" not in ask(bed.site, "/trainings/team-a/curious", bed.ada).text


def test_rights_of_ones_own_decide_what_one_changes(bed: Bed) -> None:
    where = f"/trainings/team-a/{bed.mine.word}-training"
    assert "Cancel…" in ask(bed.site, where, bed.ada).text
    fields, cookie = form(bed, f"{where}/cancel", bed.ada)
    # Not without the page's own token, whoever's the other is.
    assert ask(bed.site, f"{where}/cancel", bed.ada, method="POST", fields=fields).status == 403
    assert ask(bed.site, f"{where}/cancel", "", method="POST", fields=fields, Cookie=cookie).status == 401
    hidden = ask(bed.site, f"{where}/cancel", bed.bob, method="POST", fields=fields, Cookie=cookie)
    assert hidden.status == 404
    assert not is_suspended(bed, bed.mine)
    made = ask(bed.site, f"{where}/cancel", bed.ada, method="POST", fields=fields, Cookie=cookie)
    assert (made.status, made.headers["location"]) == (303, where)
    assert is_suspended(bed, bed.mine)

    where = f"/trainings/team-b/{THEIRS}-training"
    assert "Cancel…" not in ask(bed.site, where, bed.bob).text
    refused = ask(bed.site, f"{where}/cancel", bed.bob)
    assert (refused.status, "You may not patch TrainingRuns in namespace team-b" in refused.text) == (403, True)
    fields = {**fields, "uid": bed.theirs.uid}
    assert ask(bed.site, f"{where}/cancel", bed.bob, method="POST", fields=fields, Cookie=cookie).status == 403
    assert ask(bed.site, f"{where}/cancel", bed.ada, method="POST", fields=fields, Cookie=cookie).status == 404
    assert not is_suspended(bed, bed.theirs)


def test_who_may_update_the_training_promotes_its_run_under_their_name(bed: Bed) -> None:
    seen(bed)
    first, theirs = bed.mine.runs["first"], bed.theirs.runs["first"]
    assert "Promote…" in ask(bed.site, f"/runs/{first}", bed.ada).text
    assert "Promote…" not in ask(bed.site, f"/runs/{theirs}", bed.bob).text
    assert "Promote…" not in ask(bed.site, f"/runs/{bed.nobodys}", bed.ada).text
    assert "Promote…" in ask(bed.site, f"/runs/{bed.nobodys}", bed.chief).text
    fields, cookie = form(bed, f"/runs/{first}/promote", bed.ada)

    def promote(run_id: str, token: str, model: str, by: str = "somebody else") -> Answer:
        wish = {**fields, "model": model, "because": "it is good", "by": by, "step": "promote"}
        return ask(bed.site, f"/runs/{run_id}/promote", token, method="POST", fields=wish, Cookie=cookie)

    for run_id, token, status in ((theirs, bed.bob, 403), (bed.nobodys, bed.ada, 403), (theirs, bed.ada, 404)):
        assert ask(bed.site, f"/runs/{run_id}/promote", token).status == status
        assert promote(run_id, token, "of-accounts").status == status
    # A model with versions that one may not see: a comparison would tell of them, and the alias be taken away.
    refused = promote(first, bed.ada, f"{THEIRS}-model")
    assert (refused.status, "versions of runs that you may not see" in refused.text) == (422, True)
    assert str(VALUE)[:8] not in refused.text
    client = MlflowClient(bed.mlflow.url)
    assert client.get_model_version_by_alias(f"{THEIRS}-model", "champion").run_id == theirs
    assert promote(first, bed.ada, "of-accounts").status == 303
    tags = client.get_model_version_by_alias("of-accounts", "champion").tags
    assert tags["runyard.dev/promoted-by"] == "system:serviceaccount:team-a:ada"


def test_a_person_signs_in_and_out(bed: Bed, browser: Browser) -> None:
    context = browser.new_context(base_url=bed.site.url, reduced_motion="reduce")
    page = context.new_page()
    answer = page.goto("/runs?experiment=alpha-experiment")
    assert answer
    assert answer.status == 401
    looked_at(page, "sign-in")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("the cluster does not know this token")
    page.get_by_label("Token").fill(bed.ada)
    page.get_by_label("Token").press("Enter")
    expect(page.get_by_role("link", name="alpha-second")).to_be_visible()
    assert page.url == f"{bed.site.url}/runs?experiment=alpha-experiment"
    [cookie] = [each for each in context.cookies() if each["name"] == "runyard-token"]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["expires"]) == (True, "Strict", "/", -1)
    expect(page.locator("#state")).to_be_hidden()
    looked_at(page, "signed-in")

    # A link in a mail: with it a browser sends no such cookie.
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(content_type="text/html", body=f'<a href="{bed.site.url}/runs">runs</a>'),
    )
    page.goto("http://elsewhere.example/")
    page.get_by_role("link", name="runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")

    page.get_by_role("link", name="ada").click()
    expect(page.get_by_text("system:serviceaccount:team-a:ada")).to_be_visible()
    looked_at(page, "account")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    assert not [each for each in context.cookies() if each["name"] == "runyard-token"]
    page.goto("/runs")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    context.close()


def looked_at(page: Page, name: str) -> None:
    """Keep pictures of a page, in which axe finds nothing serious and nothing is wider than the screen."""
    page.evaluate(AXE)
    for width, scheme in product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        assert not [each["id"] for each in found if each["impact"] in {"serious", "critical"}], (width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_sign_in_must_come_from_the_page_itself_and_leads_to_no_other_place(bed: Bed) -> None:
    fields, cookie = form(bed, "/sign-in", "")
    signing = {**fields, "bearer": bed.ada}
    assert ask(bed.site, "/sign-in", method="POST", fields=signing).status == 403
    for where, leads in (("/trust?days=7", "/trust?days=7"), *((bad, "/") for bad in BAD)):
        made = ask(bed.site, "/sign-in", method="POST", fields={**signing, "next": where}, Cookie=cookie)
        assert (made.status, made.headers["location"]) == (303, leads), where
    secure = ask(bed.site, "/sign-in", method="POST", fields=signing, Cookie=cookie, X_Forwarded_Proto="https").headers[
        "set-cookie"
    ]
    assert re.search("HttpOnly; Path=/; SameSite=strict; Secure", secure)
    long = ask(bed.site, "/sign-in", method="POST", fields={**fields, "bearer": "x" * 4_000}, Cookie=cookie)
    assert (long.status, "oauth2-proxy" in long.text) == (422, True)


BAD = ("//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/sign-in", "/\nx")


def test_the_cluster_that_is_asked_must_answer(bed: Bed) -> None:
    assert ask(bed.site, "/api/v1/runs", bed.ada).status == 200
    new = token_of(bed.server, "team-a", "ada")
    fields, cookie = form(bed, "/sign-in", "")
    bed.relay.close()
    for path in ("/", "/api/v1/runs", f"/runs/{bed.mine.runs['first']}", "/trainings"):
        answer = ask(bed.site, path, new)
        assert (answer.status, "the cluster" in answer.text) == (503, True), answer.text
        assert bed.mine.word not in answer.text.replace(path, "")
    late = ask(bed.site, "/sign-in", method="POST", fields={**fields, "bearer": new}, Cookie=cookie)
    assert (late.status, "set-cookie" in late.headers and "runyard-token" in late.headers["set-cookie"]) == (503, False)
    # What was found out before is forgotten in half a minute.
    wait_for("it is forgotten", lambda: ask(bed.site, "/api/v1/runs", bed.ada).status == 503, timeout_seconds=60)


def test_tokens_are_never_written_down(bed: Bed) -> None:
    written = bed.log.read_text()
    assert not [each for each in (bed.ada, bed.bob, bed.chief) if each[-40:] in written]


def test_somebody_must_be_there_to_ask(mlflow: MlflowRest, capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "dashboard", "--auth-mode=client", f"--tracking-uri={mlflow.url}")
    assert (said.code, "give --cluster too" in said.sentence) == (2, True)
