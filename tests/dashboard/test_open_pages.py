"""Pages that are open while something goes wrong: figures that do not come."""

import time
from collections.abc import Callable
from itertools import pairwise

from playwright.sync_api import Locator, Page, Route, expect

from tests.dashboard.bed import Past

COURSE = "**/api/v1/compare/figures/course?*"


def in_their_way(times: list[float], state: dict[str, bool]) -> Callable[[Route], None]:
    """Stand before the dashboard as a gateway that cannot reach it, until it can; note when it was asked."""

    def answer(route: Route) -> None:
        times.append(time.monotonic())
        if state["is_up"]:
            route.continue_()
        else:
            route.fulfill(status=502, content_type="text/html", body="<html>502 Bad Gateway</html>")

    return answer


def chart_behind(page: Page, logged: Past, gateway: Callable[[Route], None]) -> Locator:
    """Open a page of which one figure does not come through the gateway; return its place."""
    page.route(COURSE, gateway)
    page.goto(f"/compare?run={logged.slow}&run={logged.quick}")
    chart = page.locator("figure", has=page.get_by_role("heading", name="While training"))
    chart.scroll_into_view_if_needed()
    expect(chart).to_contain_text("The figure did not come (HTTP 502).")
    return chart


def test_a_figure_that_does_not_come_is_asked_for_six_times_and_then_has_a_button(page: Page, logged: Past) -> None:
    times: list[float] = []
    state = {"is_up": False}
    chart = chart_behind(page, logged, in_their_way(times, state))
    button = chart.get_by_role("button", name="Try again")
    expect(button).to_be_visible(timeout=90_000)
    assert len(times) == 6
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.4, 0.9, 1.9, 3.9, 7.9), strict=True))
    # A gateway is back before somebody tries again, with the keyboard.
    state["is_up"] = True
    button.press("Enter")
    expect(chart.locator("canvas").first).to_be_visible()
    expect(button).to_have_count(0)
    assert len(times) == 7


def test_a_figure_that_is_late_comes_without_anybody_doing_anything(page: Page, logged: Past) -> None:
    times: list[float] = []
    state = {"is_up": False}
    chart = chart_behind(page, logged, in_their_way(times, state))
    state["is_up"] = True
    expect(chart.locator("canvas").first).to_be_visible(timeout=60_000)


def test_what_is_asked_wrongly_is_not_asked_again(page: Page, logged: Past) -> None:
    times: list[float] = []

    def refuse(route: Route) -> None:
        times.append(time.monotonic())
        route.fulfill(status=422, content_type="application/json", body='{"detail": "there is no such metric"}')

    page.route(COURSE, refuse)
    page.goto(f"/compare?run={logged.slow}&run={logged.quick}")
    chart = page.locator("figure", has=page.get_by_role("heading", name="While training"))
    chart.scroll_into_view_if_needed()
    expect(chart).to_contain_text("there is no such metric")
    expect(chart.get_by_role("button", name="Try again")).to_have_count(0)
    assert len(times) == 1
