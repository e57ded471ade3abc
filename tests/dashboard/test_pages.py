"""What a person does with the dashboard, in Chromium."""

import io
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, Locator, Page, expect

from tests.dashboard.bed import HOSTILE, Dashboard, Past
from tests.dashboard.conftest import SCREENSHOTS
from tests.support.waiting import wait_for

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
PAGES = {
    "experiments": "/",
    "runs": "/runs?experiment=heart",
    "compare": "/compare?experiment=heart&where=metrics.recall+>%3D+0.5",
    "run": "/runs/{logistic}",
    "explain": "/runs/{forest}/explain?beside={logistic}",
    "explain-not": "/runs/{slow}/explain",
    "fairness": "/fairness?experiment=heart&threshold=0.35",
    "models": "/models",
    "trust": "/trust?days=0",
    "hostile": "/runs/{hostile}",
    "nothing": "/compare",
    "wrong": "/runs?where=recall",
    "missing": "/nothing-here",
}


def open_whole(page: Page, path: str) -> None:
    """Open a page, and look at all of it, until each figure is drawn or says why not.

    A machine that does much else lets MLflow's answers come too late, which is told as that: who sees it tries again.
    """

    def came() -> bool:
        page.goto(path)
        return not page.get_by_text("has not answered").count() and not page.locator("[data-retry]").count()

    wait_for("all of it came in time", came, timeout_seconds=60)
    for figure in page.locator("figure[data-src]").all():
        figure.scroll_into_view_if_needed()
        done = figure.locator("canvas, .matrices, .canvas > p:not(:text-is('…')):not(:text-matches('^MLflow at'))")
        expect(done.first).to_be_visible()
    page.evaluate("scrollTo(0, 0)")


def test_find_the_best_run_with_enough_recall(page: Page, logged: Past) -> None:
    runs = {run_id: logged.server.run(run_id) for run_id in (logged.logistic, logged.forest)}
    metrics = {run_id: {m["key"]: m["value"] for m in run["data"]["metrics"]} for run_id, run in runs.items()}
    best = max(metrics, key=lambda run_id: metrics[run_id]["roc_auc"])
    page.goto("/")
    page.get_by_role("link", name="heart", exact=True).click()
    page.get_by_role("link", name="Compare all of heart").click()
    page.get_by_label("Best by").select_option("roc_auc")
    page.get_by_label("Only if").fill("metrics.recall >= 0.5")
    page.get_by_label("Only if").press("Enter")

    card = page.get_by_role("region", name="The best")
    expect(card).to_contain_text(runs[best]["info"]["run_name"])
    expect(card.locator("b")).to_have_attribute("title", str(metrics[best]["roc_auc"]))
    # The killed run has a higher value, and does not count.
    expect(page.get_by_role("row", name=re.compile("killed")).first).to_contain_text("it is failed")
    # Its address is all of it: somebody else sees the same.
    page.goto(page.url)
    expect(card).to_contain_text(runs[best]["info"]["run_name"])
    card.get_by_role("link", name=runs[best]["info"]["run_name"]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(runs[best]["info"]["run_name"])
    expect(page.get_by_text(best, exact=True)).to_be_visible()


def test_choose_two_runs_and_compare_them(page: Page) -> None:
    page.goto("/runs?experiment=curves")
    button = page.get_by_role("button", name=re.compile("Compare"))
    expect(button).to_be_disabled()
    page.get_by_label("Choose slow").check()
    page.get_by_label("Choose quick").check()
    button.click()
    expect(page.get_by_text("2 runs", exact=True)).to_be_visible()
    chart = page.locator("figure", has=page.get_by_role("heading", name="While training"))
    chart.scroll_into_view_if_needed()
    expect(chart.locator("canvas").first).to_be_visible()
    chart.get_by_text("As a table").click()
    expect(chart.locator("tbody tr")).to_have_count(60)
    with page.expect_download() as csv:
        chart.get_by_role("link", name="CSV").click()
    assert Path(csv.value.path()).read_text().startswith("run,name,step,value\n")
    with page.expect_download() as png:
        chart.get_by_role("button", name="PNG").click()
    assert Path(png.value.path()).read_bytes().startswith(b"\x89PNG")


def test_filters_and_columns_stay_in_the_address(page: Page, logged: Past) -> None:
    page.goto("/runs")
    page.get_by_label("Experiment").select_option("heart")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page).to_have_url(re.compile("experiment=heart"))
    page.get_by_role("link", name=re.compile("^Took")).click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Took")
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("log_loss").check()
    page.get_by_role("button", name="Show these").click()
    expect(page.locator("thead").get_by_role("link", name="log_loss")).to_be_visible()
    page.get_by_label("Condition").fill("metrics.nothing")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("expected a comparison")
    page.get_by_label("Condition").fill("metrics.log_loss > 99")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("No run is so")).to_be_visible()
    assert logged.forest not in page.content()


def rows_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Runs side by side").locator("tbody th a")


def columns_of(page: Page) -> list[str]:
    heads = page.get_by_role("region", name="Runs side by side").locator("thead th a").all_inner_texts()
    return [head.strip("\u00a0↑↓") for head in heads]


@pytest.mark.parametrize("has_scripts", [True, False])
def test_find_in_the_table_what_differs(browser: Browser, site: Dashboard, has_scripts: bool) -> None:  # noqa: FBT001
    """With scripts and without: the address holds what was asked, and a sorted table stays filtered."""
    context = browser.new_context(base_url=site.url, java_script_enabled=has_scripts)
    page = context.new_page()
    page.goto("/compare?experiment=heart&metric=roc_auc")
    whole = len(columns_of(page))
    search = page.get_by_role("search", name="In the table")
    search.get_by_label("Rows with").fill("model=forest")
    search.get_by_label("Rows with").press("Enter")
    expect(page.get_by_role("status").get_by_text("1 of 3 rows")).to_be_visible()
    expect(rows_of(page)).to_have_text(["forest"])
    assert len(columns_of(page)) == whole
    search.get_by_label("Rows with").fill("finished")
    search.get_by_label("Columns with").fill("auc depth folds")
    search.get_by_role("combobox").select_option("what differs")
    search.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("status").get_by_text("2 of 3 rows, 2 of")).to_be_visible()
    # Both models have as many folds; the run that has none is not shown.
    assert columns_of(page) == ["Run", "Outcome", "roc_auc", "max_depth"]
    differing = page.get_by_role("columnheader", name=re.compile("max_depth"))
    expect(differing.get_by_role("img", name="differs")).to_have_text("≠")
    page.get_by_role("link", name="Run", exact=True).click()
    expect(page).to_have_url(re.compile("sort=name"))
    expect(rows_of(page)).to_have_text(["logistic", "forest"])
    assert {"rows=finished", "columns=auc+depth+folds", "show=differing", "sort=name"} <= set(page.url.split("&"))
    search.get_by_label("Rows with").fill("<nothing>")
    search.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("heading", name="No row has that")).to_be_visible()
    page.get_by_role("link", name="Show the usual table").click()
    expect(rows_of(page)).to_have_count(3)
    context.close()


def test_hostile_names_are_text(page: Page, logged: Past) -> None:
    open_whole(page, f"/compare?run={logged.hostile}&run={logged.slow}")
    assert page.get_by_text(HOSTILE, exact=True).count()
    open_whole(page, f"/runs/{logged.hostile}")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.get_by_text("<script>alert(4)</script>").first).to_be_visible()
    assert page.locator("img").count() == 0


def test_with_the_keyboard_alone(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("main a").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("table.runs")).to_be_visible()


def figure_called(page: Page, title: str) -> Locator:
    """Return a figure, drawn."""
    figure = page.locator("figure", has=page.get_by_role("heading", name=title, exact=True))
    figure.scroll_into_view_if_needed()
    expect(figure.locator("canvas, .matrices").first).to_be_visible()
    return figure


def test_whatever_a_point_leads_to_the_keyboard_does(page: Page, logged: Past) -> None:
    page.goto("/compare?experiment=heart&metric=roc_auc")
    for title in ("Two metrics", "ROC curve"):
        figure = figure_called(page, title)
        figure.locator("summary").press("Enter")
        # Each run once, however many points it has.
        links = figure.locator(".scroll a")
        expect(links).to_have_count(2)
        leads = [link.get_attribute("href") or "" for link in links.all()]
        assert sorted(leads) == sorted(f"/runs/{run}" for run in (logged.logistic, logged.forest))
    page.keyboard.press("Tab")
    expect(figure.get_by_role("region", name="ROC curve, as a table")).to_be_focused()
    page.keyboard.press("Tab")
    expect(figure.get_by_role("link", name="logistic")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text(logged.logistic, exact=True)).to_be_visible()


def test_a_gap_that_is_too_wide_has_a_sign(page: Page) -> None:
    page.goto("/fairness?experiment=heart&most=0.01")
    gaps = page.get_by_role("region", name="Gaps between groups")
    wide = gaps.locator("td.wide-gap")
    assert wide.count()
    assert wide.get_by_role("img", name="wider than it may be").all_inner_texts() == ["▲"] * wide.count()


def test_confusion_matrices_are_a_picture_too(page: Page) -> None:
    page.goto("/compare?experiment=heart")
    figure = figure_called(page, "Confusion matrices")
    with page.expect_download() as png:
        figure.get_by_role("button", name="PNG").click()
    assert png.value.suggested_filename == "confusion_matrix.png"
    picture = Path(png.value.path()).read_bytes()
    assert picture.startswith(b"\x89PNG")
    # Each share in the colour that it has on the page: the accent, as much of it as there are rows.
    shares = [row[5] for row in page.request.get(figure.get_attribute("data-src") or "").json()["rows"]]
    paint = page.evaluate(
        "['--card', '--accent'].map((name) => getComputedStyle(document.documentElement).getPropertyValue(name))"
    )
    card, accent = (np.array([int(colour.strip()[at : at + 2], 16) for at in (1, 3, 5)]) for colour in paint)
    drawn = np.round(imread(io.BytesIO(picture))[..., :3] * 255)
    for share in shares:
        wanted = card + 0.08 * int(share * 5 + 0.5) * (accent - card)
        # The middle of a cell is 56 by 40 points, twice as fine; numbers are written over it.
        assert (np.abs(drawn - wanted).max(axis=-1) <= 2).sum() > 56 * 40 * 2, share


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_for_everybody(browser: Browser, site: Dashboard, logged: Past, name: str) -> None:
    """Without a finding of axe's that is serious, and nothing wider than the screen; a picture of each is kept.

    The page is open all the while: who turns a phone, or whose evening begins, does not load it anew.
    """
    # Axe would measure colours half-way from light to dark.
    context = browser.new_context(base_url=site.url, reduced_motion="reduce")
    page = context.new_page()
    open_whole(page, PAGES[name].format(**vars(logged)))
    page.evaluate(AXE)
    for width, scheme in product((1280, 390), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
        serious = [
            (width, scheme, each["id"], [node["html"][:200] for node in each["nodes"]])
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        assert serious == []
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    context.close()


def test_nothing_moves_while_a_page_comes_up(page: Page) -> None:
    page.add_init_script(
        "window.moved = 0; new PerformanceObserver((list) => { for (const each of list.getEntries()) "
        "if (!each.hadRecentInput) window.moved += each.value; }).observe({ type: 'layout-shift', buffered: true });"
    )
    open_whole(page, PAGES["compare"])
    assert wait_for("the page rests", lambda: page.evaluate("performance.now()") > 0)
    # What Google calls good ends at 0.1.
    assert page.evaluate("window.moved") < 0.02
