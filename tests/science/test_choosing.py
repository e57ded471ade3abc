"""`runyard compare`, `best` and `list` over whole experiments: what varies, who is the best, who is not counted."""

import csv
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from runyard import history
from runyard.tracking import ARTIFACT_ROOT_VARIABLE
from tests.support.command_line import Said, call
from tests.support.mlflow_store import make_store
from tests.support.terminal import Terminal

BEGAN_MS = 1_700_000_000_000
RUNS: list[dict[str, Any]] = [
    {"name": "first", "params": {"depth": "9", "seed": "0"}, "metrics": {"f1": 0.9, "loss": 0.5}, "took": 30},
    {"name": "second", "params": {"depth": "10", "seed": "0"}, "metrics": {"f1": 0.9, "loss": 0.4}, "took": 20},
    {"name": "third", "params": {"depth": "3", "seed": "0"}, "metrics": {"f1": 0.8, "loss": 0.4}, "took": 40},
    {"name": "silent", "params": {"depth": "3", "seed": "0"}, "metrics": {"loss": 0.6}, "took": 10},
    {"name": "no number", "params": {"seed": "0"}, "metrics": {"f1": float("nan"), "loss": 0.7}, "took": 10},
    {"name": "lost", "params": {"depth": "5", "seed": "0"}, "metrics": {"f1": 1.0}, "status": "FAILED", "took": 50},
]
MACHINE = {"system/cpu": 12.5, "rows": 303.0}
NAMES = {
    "markup": "[red]not red[/red] [link=http://x]",
    "lines": "one\ntwo\r\nthree\u2028four\tfive",
    "wide": "葡萄酒分類" * 40,
    "long": "r" * 5_000,
    "pipe": "a|b`c`<b>*d*",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as context:
        context.setenv(ARTIFACT_ROOT_VARIABLE, (folder / "artifacts").as_uri())
        make_store(folder / "mlflow.db")
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        named = [{"name": name, "params": {"of": name}, "metrics": {"f1": 0.5}, "took": 1} for name in NAMES.values()]
        wanted = {"wine": RUNS, "[bold]wide 葡萄酒[/bold]": named, "alone": RUNS[:1]}
        for experiment, runs in wanted.items():
            there = client.create_experiment(experiment)
            for number, wish in enumerate(runs):
                run = client.create_run(there, BEGAN_MS + number * 60_000, None, wish["name"]).info.run_id
                for name, value in wish["params"].items():
                    client.log_param(run, name, value)
                for name, value in {**wish["metrics"], **MACHINE}.items():
                    client.log_metric(run, name, value + number if name == "system/cpu" else value)
                client.set_terminated(
                    run, wish.get("status", "FINISHED"), BEGAN_MS + number * 60_000 + wish["took"] * 1000
                )
    return folder


Command = Callable[..., Said]


@pytest.fixture
def runyard(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    return lambda *words: call(capsys, *words, "--store", store)


def test_a_whole_experiment_is_compared_by_what_varies(runyard: Command) -> None:
    said = runyard("compare", "--experiment", "wine")
    assert (said.code, said.error) == (0, "")
    assert said.lines[0] == ["RUN", "NAME", "OUTCOME", "depth", "f1", "(highest)", "loss", "(lowest)"]
    assert [line[1:] for line in said.lines[1:7]] == [
        ["lost", "Failed", "5", "1", "*"],
        ["no", "number", "Finished", "nan", "0.7"],
        ["silent", "Finished", "3", "0.6"],
        ["third", "Finished", "3", "0.8", "0.4", "*"],
        ["second", "Finished", "10", "0.9", "0.4", "*"],
        ["first", "Finished", "9", "0.9", "0.5"],
    ]
    assert said.out.endswith(
        "\n* the best\n\nNot shown: 2 that are the same in all and 1 of the machine (system/…); --all shows them.\n"
    )


def test_what_was_left_out_is_shown_when_it_is_asked_for(runyard: Command) -> None:
    said = runyard("compare", "--experiment", "wine", "--all")
    assert said.lines[0][2:] == [
        *("OUTCOME", "depth", "seed", "f1", "(highest)", "loss", "(lowest)", "rows", "(highest)"),
        *("system/cpu", "(highest)"),
    ]
    assert "Not shown" not in said.out
    one = runyard("compare", "--experiment", "wine", "-m", "system/cpu", "-m", "rows", "-o", "json")
    assert json.loads(one.out)["metrics"] == ["system/cpu", "rows"]


def test_an_experiments_runs_are_chosen_by_a_condition(runyard: Command) -> None:
    said = runyard("compare", "--experiment", "wine", "--where", "metrics.loss <= 0.5")
    assert [line[1] for line in said.lines[1:4]] == ["depth", "f1", "loss"]
    assert [name for name in said.lines[0] if len(name) != 8] == ["WHAT", "NAME", "third", "second", "first"]
    assert said.lines[2] == ["highest", "f1", "0.8", "0.9", "*", "0.9", "*"]
    assert said.lines[3] == ["lowest", "loss", "0.4", "*", "0.4", "*", "0.5"]


def test_a_comparison_is_data(runyard: Command) -> None:
    body = json.loads(runyard("compare", "first", "second", "third", "-e", "wine", "-o", "json").out)
    ids = {run["name"]: run["runId"] for run in body["runs"]}
    assert {name: body[name] for name in body if name != "runs"} == {
        "params": ["depth"],
        "datasets": [],
        "metrics": ["f1", "loss"],
        "directions": {"f1": "highest", "loss": "lowest"},
        "best": {"f1": [ids["first"], ids["second"]], "loss": [ids["second"], ids["third"]]},
    }
    assert yaml.safe_load(runyard("compare", "first", "second", "third", "-e", "wine", "-o", "yaml").out) == body


def test_a_comparison_is_a_table_for_other_programs(runyard: Command) -> None:
    rows = list(csv.DictReader(io.StringIO(runyard("compare", "-e", "wine", "-o", "csv").out)))
    assert list(rows[0]) == [
        *("run_id", "name", "experiment", "outcome", "start_time"),
        *("params.depth", "metrics.f1", "metrics.loss"),
    ]
    assert [(row["name"], row["params.depth"], row["metrics.f1"]) for row in rows] == [
        ("lost", "5", "1.0"),
        ("no number", "", "nan"),
        ("silent", "3", ""),
        ("third", "3", "0.8"),
        ("second", "10", "0.9"),
        ("first", "9", "0.9"),
    ]
    assert rows[-1]["start_time"] == "2023-11-14T22:13:20Z"


def test_a_comparison_is_markdown(runyard: Command) -> None:
    beside = runyard("compare", "first", "third", "-e", "wine", "-o", "markdown").out.splitlines()
    assert beside[0].startswith("|  |  | `first` `")
    assert beside[1:5] == [
        "| --- | --- | --- | --- |",
        "| parameter | `depth` | `9` | `3` |",
        "| highest | `f1` | **`0.9`** | `0.8` |",
        "| lowest | `loss` | `0.5` | **`0.4`** |",
    ]
    below = runyard("compare", "-e", "wine", "-o", "markdown").out.splitlines()
    assert below[0] == "| Run | `OUTCOME` | `depth` | `f1 (highest)` | `loss (lowest)` |"
    assert below[2].endswith("` | `Failed` | `5` | **`1`** |  |")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare"], "give two or more runs, or --experiment for all of its runs"),
        (["compare", "first", "-e", "wine"], "comparing takes two runs or more, and there is 1"),
        (["compare", "first", "first", "-e", "wine"], "comparing takes two runs or more, and there is 1"),
        (["compare", "-e", "alone"], "comparing takes two runs or more, and there is 1"),
        (
            ["compare", "-e", "wine", "--where", "metrics.f1 > 7"],
            "comparing takes two runs or more, and there are none",
        ),
        (["compare", "-e", "[red]"], 'there is no experiment "[red]"; there are: '),
        (["compare", "-e", "wine", "-m", "f2"], 'no run has the metric "f2"; there are: f1, loss, rows, system/cpu'),
        (["compare", "first", "--where", "metrics.f1 > 0"], "leave it out, or the names of runs"),
        (["compare", "-e", "wine", "--where", "f1 > 0"], 'MLflow does not understand "f1 > 0": '),
        (["list", "wine", "--sort", "depth"], 'runs have no order "depth": give started, name, took, metrics.NAME or'),
        (["list", "wine", "--sort", "metrics."], 'runs have no order "metrics.": give '),
        (["best", "wine", "-m", "f2"], 'no run has the metric "f2" as a number; there are: f1, loss, rows, system/cpu'),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(runyard: Command, words: list[str], said: str) -> None:
    found = runyard(*words)
    assert (found.code, found.out) == (2, "")
    assert said in found.sentence
    assert "Traceback" not in found.error


def test_the_best_are_told_with_those_that_share_it_and_those_not_counted(runyard: Command) -> None:
    said = runyard("best", "wine", "-m", "f1")
    assert said.out.splitlines()[0] == "first: f1 0.9, the highest; so has second, started later"
    assert [line[1] for line in said.lines[3:6]] == ["first", "second", "third"]
    assert said.out.endswith("\nNot counted: 2 without f1 as a number and 1 that did not finish.\n")
    body = json.loads(runyard("best", "wine", "-m", "f1", "-o", "json", "--limit", "1").out)
    ids = {run["name"]: run["runId"] for run in json.loads(runyard("list", "wine", "-o", "json").out)}
    assert [run["name"] for run in body.pop("runs")] == ["first"]
    assert body == {
        "metric": "f1",
        "direction": "highest",
        "tied": [ids["first"], ids["second"]],
        "withMetric": 3,
        "withoutMetric": 2,
        "unfinished": 1,
        "aboveTrials": 0,
    }


def test_the_best_of_those_that_meet_a_condition_may_be_another(runyard: Command) -> None:
    said = runyard("best", "wine", "-m", "f1", "--where", "metrics.loss < 0.5")
    assert said.out.splitlines()[0] == "second: f1 0.9, the highest"
    assert "Not counted" not in said.out
    assert (
        json.loads(runyard("best", "wine", "-m", "loss", "--where", "params.depth = '9'", "-o", "json").out)["tied"]
        == []
    )


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("started", ["first", "second", "third", "silent", "no number", "lost"]),
        ("-started", ["lost", "no number", "silent", "third", "second", "first"]),
        ("name", ["first", "lost", "no number", "second", "silent", "third"]),
        ("took", ["no number", "silent", "second", "first", "third", "lost"]),
        ("-metrics.loss", ["no number", "silent", "first", "third", "second", "lost"]),
        # Parameters are texts to MLflow, and 10 would come before 3.
        ("params.depth", ["silent", "third", "lost", "first", "second", "no number"]),
        ("-params.depth", ["second", "first", "lost", "silent", "third", "no number"]),
    ],
)
def test_a_list_has_the_order_that_was_asked_for(runyard: Command, order: str, names: list[str]) -> None:
    said = runyard("list", "wine", "--sort", order, "-o", "json")
    assert [run["name"] for run in json.loads(said.out)] == names
    few = runyard("list", "wine", "--sort", order, "-o", "json", "--limit", "2")
    assert [run["name"] for run in json.loads(few.out)] == names[:2]


def test_a_list_shows_parameters_and_metrics_that_are_named_and_what_it_is_sorted_by(runyard: Command) -> None:
    said = runyard("list", "wine", "-p", "depth", "-m", "loss", "--sort", "-metrics.f1", "--limit", "3")
    assert said.lines[0] == ["RUN", "NAME", "OUTCOME", "AGE", "TOOK", "depth", "loss", "f1"]
    assert said.lines[1][-2:] == ["5", "1"], "lost"
    assert said.out.endswith("\nThe first 3; --limit shows more.\n")
    assert runyard("list", "wine").lines[0][5:] == ["rows", "f1", "loss"], "and none of the machine"
    misspelt = runyard("list", "wine", "-m", "f2", "-p", "deep")
    assert misspelt.out.endswith("\nNo run here has the parameter deep.\n\nNo run here has the metric f2.\n")


COMMANDS = [["list"], ["best", "-m", "f1"], ["compare"], ["compare", "--where", "metrics.rows > 0", "--all"]]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("width", [None, 80])
def test_tables_stay_whole_whatever_names_runs_and_experiments_have(
    runyard: Command, monkeypatch: pytest.MonkeyPatch, words: list[str], width: int | None
) -> None:
    if width:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
    command, *more = words
    where = ["--experiment"] if command == "compare" else []
    said = runyard(command, *where, "[bold]wide 葡萄酒[/bold]", *more)
    assert (said.code, said.error) == (0, "")
    lines = said.out.splitlines()
    whole = "\n".join(lines)
    assert whole.isprintable() or set(whole) - {"\n", "\x1b"} == {
        character for character in whole if character.isprintable()
    }
    assert max(map(len, lines)) < 500
    if width is None:
        assert "[red]not red[/red] [link=http://x]" in said.out
        assert r"one\ntwo\r\nthree\u2028four\tfive" in said.out
        assert "葡萄酒分類葡萄酒分類" in said.out
        assert f"{'r' * 59}…" in said.out


def test_side_by_side_long_names_do_not_hide_which_run_it_is(runyard: Command) -> None:
    said = runyard("compare", NAMES["long"], NAMES["markup"], "-o", "json")
    first, second = (run["runId"][:8] for run in json.loads(said.out)["runs"])
    heading = runyard("compare", NAMES["long"], NAMES["markup"]).out.splitlines()[0]
    assert f"{'r' * 59}… {first}" in heading
    assert f"{NAMES['markup']} {second}" in heading
    assert f"{'r' * 59}… {first}" in runyard("diff", NAMES["long"], NAMES["markup"]).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "--experiment", "wine"], "Reading runs"),
        (["best", "wine", "-m", "f1"], "Reading runs"),
        (["audit", "wine"], "Reading artifacts"),
    ],
)
def test_at_a_terminal_it_is_seen_that_something_is_read_and_elsewhere_nothing(
    runyard: Command, store: Path, words: list[str], said: str
) -> None:
    seen = Terminal([sys.executable, "-m", "runyard", *words, "--store", str(store)], os.environ)
    assert seen.ends()[0] == 0
    assert said in seen.drawn
    assert said not in seen.left
    assert runyard(*words).error == ""


def test_a_run_is_shown_whole_whatever_its_name(runyard: Command) -> None:
    for name in NAMES.values():
        said = runyard("show", name, "-e", "[bold]wide 葡萄酒[/bold]")
        assert (said.code, said.error) == (0, "")
        assert ["experiment", "[bold]wide", "葡萄酒[/bold]"] in said.lines
        assert json.loads(runyard("show", name, "-o", "json").out)["name"] == name


def test_every_page_is_read_before_the_best_is_named(runyard: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = runyard("best", "wine", "-m", "f1").out, runyard("compare", "-e", "wine").out
    monkeypatch.setattr(history, "_PAGE", 2)
    assert (runyard("best", "wine", "-m", "f1").out, runyard("compare", "-e", "wine").out) == whole
