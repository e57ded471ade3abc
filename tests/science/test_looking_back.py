"""`runyard list`, `show`, `best`, `compare`, `diff` on a real store: what is printed, as data, and what is refused."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

from runyard import history
from runyard.cli import main
from runyard.tracking import ARTIFACT_ROOT_VARIABLE

FINISHED, FAILED = "FINISHED", "FAILED"
NOBODY = "http://127.0.0.1:9"
COMMIT = "b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2"


@dataclass(frozen=True)
class Past:
    """A store, and the IDs of the runs in it by their names."""

    folder: Path
    ids: dict[str, str]


def provenance(commit: str = COMMIT, **more: Any) -> dict[str, Any]:
    return {
        "code": {"commit": commit, "diff": None},
        "python": "3.11.7",
        "packages": {"numpy": "2.4.6"},
        "seeds": {"random_state": "0"},
        "command": ["train.py"],
        "workers": None,
        "hardware": {"machine": "x86_64", "processor": "AMD EPYC 7763", "cpus": 2.0, "memory_bytes": 8, "gpus": []},
        **more,
    }


def on_arm(**more: Any) -> dict[str, Any]:
    hardware = {"machine": "aarch64", "processor": None, "cpus": 2.0, "memory_bytes": 64, "gpus": ["A100", "A100"]}
    return provenance(datasets=HEART, hardware=hardware, **more)


HEART = {"heart": "sha256:" + "1" * 64}

RUNS: list[dict[str, Any]] = [
    {
        "name": "shallow",
        "params": {"max_depth": "3", "seed": "0"},
        "metrics": {"f1_score": 0.8, "log_loss": 0.4},
        "provenance": provenance(datasets={"heart": "sha256:" + "1" * 64}),
    },
    {
        "name": "deep",
        "params": {"max_depth": "9", "seed": "0"},
        "metrics": {"f1_score": 0.9, "log_loss": 0.5},
        "provenance": provenance(datasets={"heart": "sha256:" + "1" * 64}),
    },
    {
        "name": "deep-again",
        "params": {"max_depth": "9", "seed": "0"},
        "metrics": {"f1_score": 0.9, "log_loss": 0.5},
        "provenance": provenance(datasets={"heart": "sha256:" + "1" * 64}),
    },
    {
        "name": "other-code",
        "params": {"max_depth": "9", "seed": "0"},
        "metrics": {"f1_score": 0.7, "log_loss": 0.6},
        "provenance": provenance("0" * 40, datasets={"heart": "sha256:" + "2" * 64}),
    },
    {
        "name": "lost",
        "params": {"max_depth": "5"},
        "metrics": {"f1_score": 0.99},
        "status": FAILED,
        "tags": {"runyard.dev/outcome": "Failed", "runyard.dev/reason": "OOMKilled"},
    },
    {"name": "twin", "metrics": {"f1_score": 0.1}},
    {"name": "twin", "metrics": {"f1_score": 0.1}},
]
# Pairs for what is not recorded, and for what is nearly the same.
BESIDE: list[dict[str, Any]] = [
    {"name": "bare", "params": {"max_depth": "9"}, "metrics": {"f1_score": 0.9, "extra": 1.0}},
    {"name": "here", "metrics": {"f1_score": 0.9}, "provenance": provenance(datasets=HEART)},
    {"name": "same-on-arm", "metrics": {"f1_score": 0.9}, "provenance": on_arm()},
    {"name": "other-on-arm", "metrics": {"f1_score": 0.8}, "provenance": on_arm()},
    {"name": "eight-on-arm", "metrics": {"f1_score": 0.8}, "provenance": on_arm(workers=8)},
    {
        "name": "deeper",
        "metrics": {"f1_score": 0.8},
        "provenance": provenance(datasets=HEART, command=["train.py", "--depth=3", "a name"]),
    },
    {"name": "eight", "metrics": {"f1_score": 0.9}, "provenance": provenance(datasets=HEART, workers=8)},
    {"name": "twin-a", "metrics": {"f1_score": 0.5}},
    {"name": "twin-b", "metrics": {"f1_score": 0.501}},
]
FIRST_MS = 1_700_000_000_000
# Names that MLflow takes, and a value that JSON has no word for.
ODD = {
    'it\'s a "quote"': float("nan"),
    "red \x1b[31m\nsecond line :smile: [bold]": 0.1,
    "100%_sure": 0.5,
    "100 Xsure": 0.6,
}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("past")
    with pytest.MonkeyPatch.context() as context:
        context.setenv(ARTIFACT_ROOT_VARIABLE, (folder / "artifacts").as_uri())
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        experiments = {name: client.create_experiment(name) for name in ("heart", "empty", "odd", "beside")}
        ids: dict[str, str] = {}
        odd = [{"name": name, "metrics": {"odd": value}, "experiment": "odd"} for name, value in ODD.items()]
        odd += [wanted | {"experiment": "beside"} for wanted in BESIDE]
        for number, wanted in enumerate([*odd, *RUNS]):
            run = client.create_run(
                experiments[wanted.get("experiment", "heart")],
                FIRST_MS + (number - len(odd)) * 60_000,
                wanted.get("tags"),
                wanted["name"],
            ).info.run_id
            for name, value in wanted.get("params", {}).items():
                client.log_param(run, name, value)
            for name, value in wanted["metrics"].items():
                client.log_metric(run, name, value)
            if "provenance" in wanted:
                client.log_dict(run, wanted["provenance"], "runyard/provenance.json")
            client.set_terminated(run, wanted.get("status", FINISHED), FIRST_MS + (number - len(odd)) * 60_000 + 42_000)
            ids[wanted["name"]] = run
        namesake = client.create_run(experiments["odd"], 1, None, ids["deep"][:8]).info.run_id
        client.set_terminated(namesake, FINISHED, 2)
        ids["namesake"] = namesake
        ids["deleted"] = client.create_run(experiments["odd"], 1, None, "deleted").info.run_id
        client.delete_run(ids["deleted"])
    return Past(folder, ids)


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runyard(past: Past, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, in a folder where nothing else is."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)

    def run(*words: str, store: Path | None = None) -> tuple[int, str, str]:
        where = [] if "--tracking-uri" in words or "MLFLOW_TRACKING_URI" in os.environ else ["--store", past.folder]
        monkeypatch.setattr(sys, "argv", ["runyard", *words, *map(str, ["--store", store] if store else where)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        said = capsys.readouterr()
        return (code if isinstance(code, int) else 0 if code is None else 1), said.out, said.err

    return run


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_runs_are_listed_the_newest_first_with_what_became_of_them(runyard: Command, past: Past) -> None:
    code, out, _ = runyard("list", "heart")
    assert code == 0
    rows = lines(out)
    assert rows[0] == ["RUN", "NAME", "OUTCOME", "AGE", "TOOK", "f1_score", "log_loss"]
    assert [row[1] for row in rows[1:]] == [wanted["name"] for wanted in reversed(RUNS)]
    assert rows[3][0] == past.ids["lost"][:8]
    assert rows[3][2:4] == ["Failed", "(OOMKilled)"]
    assert rows[-1][-3:] == ["42s", "0.8", "0.4"]


def test_of_a_run_that_goes_on_it_is_said_how_long_it_has(runyard: Command, past: Past) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{past.folder / 'mlflow.db'}")
    experiment = client.create_experiment("open", (past.folder / "artifacts").as_uri())
    run = client.create_run(experiment, FIRST_MS, None, "training").info.run_id
    try:
        _, listed, _ = runyard("list", "open")
        _, shown, _ = runyard("show", run)
    finally:
        client.delete_experiment(experiment)
    [row] = lines(listed)[1:]
    assert row[2] == "Running"
    assert (row[3], row[4:]) == (row[4], [row[3], "so", "far"]), "it is as long as it is ago"
    assert f"{row[3]} so far" in shown


def test_without_an_experiment_runs_of_all_are_listed_with_theirs(runyard: Command) -> None:
    _, out, _ = runyard("list")
    assert lines(out)[0][:3] == ["RUN", "NAME", "EXPERIMENT"]
    assert lines(out)[1][2] == "heart"


def test_a_list_can_be_narrowed_shortened_and_given_columns(runyard: Command) -> None:
    _, out, _ = runyard("list", "heart", "--where", "metrics.f1_score >= 0.9", "-m", "log_loss", "--limit", "2")
    assert [row[1] for row in lines(out)[1:3]] == ["lost", "deep-again"]
    assert lines(out)[0][-1] == "log_loss"
    assert out.endswith("The newest 2; --limit shows more.\n")


def test_an_empty_experiment_is_said_to_be_so(runyard: Command) -> None:
    assert runyard("list", "empty") == (0, "No runs.\n", "")
    assert runyard("list", "empty", "-o", "json") == (0, "[]\n", "")


def test_lists_are_json_and_yaml_with_all_digits(runyard: Command, past: Past) -> None:
    _, out, _ = runyard("list", "heart", "-o", "json", "--limit", "1000")
    found = json.loads(out)
    assert len(found) == len(RUNS)
    assert found[-1]["runId"] == past.ids["shallow"]
    assert found[-1]["metrics"] == {"f1_score": 0.8, "log_loss": 0.4}
    assert found[-1]["startTime"] == "2023-11-14T22:13:20Z"
    _, out, _ = runyard("list", "heart", "-o", "yaml", "--limit", "1000")
    assert yaml.safe_load(out) == found


def test_a_run_is_shown_by_name_and_by_the_beginning_of_its_id(runyard: Command, past: Past) -> None:
    code, out, _ = runyard("show", "deep")
    assert code == 0
    assert runyard("show", past.ids["deep"][:6])[1] == out
    assert out.startswith("deep  Finished\n")
    for words in (
        ["run", past.ids["deep"]],
        ["experiment", "heart"],
        ["took", "42s"],
        ["max_depth", "9"],
        ["f1_score", "0.9"],
        ["runyard/provenance.json"],
    ):
        assert words in lines(out)
    body = json.loads(runyard("show", "deep", "-o", "json")[1])
    assert (body["params"], body["artifacts"]) == ({"max_depth": "9", "seed": "0"}, ["runyard/provenance.json"])


def test_the_best_run_is_named_with_those_after_it(runyard: Command, past: Past) -> None:
    code, out, _ = runyard("best", "heart", "--metric", "f1_score")
    assert code == 0
    assert out.startswith("deep: f1_score 0.9, the highest; so has deep-again, started later\n")
    assert lines(out)[2] == ["RUN", "NAME", "f1_score", "max_depth", "seed"]
    # What failed is not the best, whatever it says; of equals the first.
    assert [row[1] for row in lines(out)[3:8]] == ["deep", "deep-again", "shallow", "other-code", "twin"]
    assert "\nThe best 5 of 6; --limit shows more.\n" in out
    body = json.loads(runyard("best", "heart", "-m", "f1_score", "-o", "json", "--limit", "1")[1])
    assert (body["direction"], [run["runId"] for run in body["runs"]]) == ("highest", [past.ids["deep"]])


def test_of_a_loss_the_lowest_is_the_best_unless_told_otherwise(runyard: Command) -> None:
    assert runyard("best", "heart", "-m", "log_loss")[1].startswith("shallow: log_loss 0.4, the lowest\n")
    said = runyard("best", "heart", "-m", "log_loss", "--direction", "highest")[1]
    assert said.startswith("other-code: log_loss 0.6, the highest\n")


def test_the_best_is_chosen_among_those_that_meet_a_condition(runyard: Command) -> None:
    said = runyard("best", "heart", "-m", "f1_score", "--where", "metrics.log_loss < 0.45")[1]
    assert said.startswith("shallow: f1_score 0.8, the highest\n")


def test_runs_side_by_side_show_what_varies_and_mark_the_best(runyard: Command, past: Past) -> None:
    code, out, _ = runyard("compare", "shallow", "deep", "other-code")
    assert code == 0
    assert lines(out)[1:4] == [
        ["parameter", "max_depth", "3", "9", "9"],
        ["highest", "f1_score", "0.8", "0.9", "*", "0.7"],
        ["lowest", "log_loss", "0.4", "*", "0.5", "0.6"],
    ]
    body = json.loads(runyard("compare", "shallow", "deep", "-o", "json")[1])
    assert body["best"] == {"f1_score": [past.ids["deep"]], "log_loss": [past.ids["shallow"]]}


def test_equals_have_no_best(runyard: Command) -> None:
    _, out, _ = runyard("compare", "deep", "deep-again")
    assert out == "Nothing varies.\n\nNot shown: 4 that are the same in all; --all shows them.\n"
    assert "*" not in runyard("compare", "deep", "deep-again", "--all")[1]


@pytest.mark.parametrize(
    ("other", "code", "kinds", "said"),
    [
        (
            "deep-again",
            0,
            [],
            "The same parameters, seeds, code, data, environment and hardware, and the same metrics.",
        ),
        ("shallow", 1, ["parameters"], "Parameters differ (max_depth): different metrics."),
        ("other-code", 1, ["code", "data"], "Code and data differ (commit, heart): different metrics."),
        (
            "lost",
            1,
            ["parameters"],
            (
                "Parameters differ (max_depth): different metrics. "
                "Not recorded of both: seeds, code, data, environment and hardware. "
                "Recorded of one alone: command, seed, log_loss."
            ),
        ),
    ],
)
def test_two_runs_differ_and_that_is_explained(
    runyard: Command, other: str, code: int, kinds: list[str], said: str
) -> None:
    found, out, _ = runyard("diff", "deep", other)
    assert (found, out.splitlines()[-1]) == (code, said)
    body = json.loads(runyard("diff", "deep", other, "-o", "json")[1])
    assert [each["kind"] for each in body["differences"]] == kinds
    assert body["explanation"] == said


SAME = "The same parameters, seeds, code, data and environment"
PROCESSOR_ALONE = "Recorded of one alone: processor."


@pytest.mark.parametrize(
    ("other", "code", "shown", "said"),
    [
        (
            "same-on-arm",
            0,
            {"architecture": ("x86_64", "aarch64"), "gpus": (None, "A100, A100")},
            f"{SAME}, and the same metrics on other hardware (architecture, gpus). Recorded of one alone: processor.",
        ),
        (
            "other-on-arm",
            1,
            {"architecture": ("x86_64", "aarch64"), "gpus": (None, "A100, A100")},
            f"{SAME}, yet different metrics: the hardware differs (architecture, gpus). " + PROCESSOR_ALONE,
        ),
        (
            "eight-on-arm",
            1,
            {"workers": (None, "8"), "architecture": ("x86_64", "aarch64"), "gpus": (None, "A100, A100")},
            "Environment and hardware differ (workers, architecture, gpus): different metrics. " + PROCESSOR_ALONE,
        ),
        (
            "deeper",
            1,
            {"command": ("train.py", "train.py --depth=3 'a name'")},
            "Parameters differ (command): different metrics.",
        ),
        ("eight", 1, {"workers": (None, "8")}, "Environment differs (workers): the same metrics."),
    ],
)
def test_command_workers_and_hardware_are_among_what_explains_a_difference(
    runyard: Command, other: str, code: int, shown: dict[str, tuple[str | None, str]], said: str
) -> None:
    found, out, _ = runyard("diff", "here", other)
    assert (found, out.splitlines()[-1]) == (code, said)
    body = json.loads(runyard("diff", "here", other, "-o", "json")[1])
    assert {each["name"]: (each["one"], each["other"]) for each in body["differences"]} == shown


def test_what_one_run_alone_has_on_record_is_apart_and_no_difference(runyard: Command, past: Past) -> None:
    code, out, _ = runyard("diff", "deep", "bare")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("Recorded")] == [
        f"Recorded by deep {past.ids['deep'][:8]} alone:",
        f"Recorded by bare {past.ids['bare'][:8]} alone:",
    ]
    assert ["parameters", "seed", "0"] in lines(out)
    assert ["metrics", "extra", "1"] in lines(out)
    assert out.splitlines()[-1] == (
        "The same parameters, and the same metrics. Not recorded of both: seeds, code, data, environment and hardware. "
        "Recorded of one alone: command, seed, log_loss, extra."
    )
    found = json.loads(runyard("diff", "deep", "bare", "-o", "json")[1])
    assert (found["differences"], [each["name"] for each in found["metrics"]]) == ([], ["f1_score"])
    alone = found["recordedByOneAlone"]
    assert {"run": past.ids["deep"], "kind": "environment", "name": "numpy", "value": "2.4.6"} in alone
    assert {"run": past.ids["bare"], "kind": "metrics", "name": "extra", "value": 1.0} in alone


def test_metrics_may_differ_by_what_is_allowed(runyard: Command) -> None:
    assert runyard("diff", "twin-a", "twin-b")[0] == 1
    code, out, _ = runyard("diff", "twin-a", "twin-b", "--tolerance", "0.01")
    assert (code, out.splitlines()[-1].partition(".")[0]) == (0, "The same parameters, and the same metrics")
    found = json.loads(runyard("diff", "twin-a", "twin-b", "--tolerance", "0.01", "-o", "json")[1])
    assert (found["tolerance"], found["metrics"][0]["isSame"], found["metrics"][0]["change"] != 0) == (0.01, True, True)
    assert runyard("diff", "deep", "shallow", "--tolerance", "1")[0] == 1
    code, _, error = runyard("diff", "deep", "shallow", "--tolerance", "2")
    assert (code, "'--tolerance'" in error) == (2, True)


def test_a_difference_is_shown_with_both_values_and_the_change(runyard: Command) -> None:
    _, out, _ = runyard("diff", "shallow", "deep")
    assert ["parameters", "max_depth", "3", "9"] in lines(out)
    assert ["f1_score", "0.8", "0.9", "+0.1"] in lines(out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "hart"], 'there is no experiment "hart"; there are: Default, beside, empty, heart, odd'),
        (["best", "hart", "-m", "f1"], 'there is no experiment "hart"; there are: Default, beside, empty, heart, odd'),
        (["best", "heart", "-m", "f1"], 'no run has the metric "f1" as a number; there are: f1_score, log_loss'),
        (["best", "empty", "-m", "f1"], 'no run has the metric "f1" as a number; there are: none'),
        (["show", "nobody"], 'there is no run "nobody": give its ID, four or more characters of it, or its name'),
        (["show", "twin"], '2 runs are called "twin": give the ID of one: '),
        (["diff", "deep", "nobody"], 'there is no run "nobody"'),
        (["compare", "deep"], "comparing takes two runs or more, and there is 1"),
        (["list", "--limit", "0"], "'--limit': Input should be greater than or equal to 1"),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(runyard: Command, words: list[str], said: str) -> None:
    code, out, error = runyard(*words)
    assert (code, out) == (2, "")
    # Usage errors are drawn in a box.
    assert said in " ".join(error.replace("│", " ").split())
    assert "Traceback" not in error


def test_an_expression_that_mlflow_does_not_understand_is_quoted(runyard: Command) -> None:
    code, _, error = runyard("list", "heart", "--where", "f1 > 0.9")
    assert code == 2
    assert error.startswith('runyard: MLflow does not understand "f1 > 0.9": ')
    assert len(error.splitlines()) == 1


def test_a_folder_without_a_store_is_named_with_the_remedy(runyard: Command, tmp_path: Path) -> None:
    code, _, error = runyard("list", store=tmp_path)
    assert code == 2
    assert error == (
        f"runyard: there is no MLflow in {tmp_path}: give --tracking-uri for a server, or --store for the folder that "
        "`runyard run` wrote to\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_answer_is_named(runyard: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, _, error = runyard("list", "--tracking-uri", NOBODY)
    assert code == 4
    assert error.startswith(f"runyard: MLflow at {NOBODY} cannot ")


def test_what_is_asked_for_wins_over_the_environment(
    runyard: Command, past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOBODY)
    assert runyard("list")[0] == 4
    assert runyard("show", "deep", store=past.folder)[0] == 0
    assert runyard("show", "deep", "--tracking-uri", f"sqlite:///{past.folder / 'mlflow.db'}")[0] == 0
    code, _, error = runyard("show", "deep", "--tracking-uri", NOBODY, store=past.folder)
    assert (code, "give --store or --tracking-uri, not both" in " ".join(error.split())) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ["list", "heart"],
        ["show", "deep"],
        ["best", "heart", "-m", "f1_score"],
        ["compare", "deep", "lost"],
        ["diff", "deep", "lost"],
    ],
)
def test_yaml_says_what_json_does(runyard: Command, words: list[str]) -> None:
    code, out, _ = runyard(*words, "-o", "yaml")
    assert (code, yaml.safe_load(out)) == (runyard(*words)[0], json.loads(runyard(*words, "-o", "json")[1]))


@pytest.mark.parametrize("name", ODD)
def test_a_run_is_found_by_whatever_name_it_has(runyard: Command, past: Past, name: str) -> None:
    assert json.loads(runyard("show", name, "-o", "json")[1])["runId"] == past.ids[name]


def test_a_name_wins_over_the_beginning_of_another_runs_id(runyard: Command, past: Past) -> None:
    short = past.ids["deep"][:8]
    assert json.loads(runyard("show", short, "-o", "json")[1])["runId"] == past.ids["namesake"]
    assert json.loads(runyard("show", short, "-o", "json", "-e", "heart")[1])["runId"] == past.ids["deep"]
    assert runyard("show", past.ids["deep"], "-e", "odd")[0] == 2


def test_a_run_that_was_deleted_is_said_to_be_so(runyard: Command, past: Past) -> None:
    code, _, error = runyard("show", past.ids["deleted"])
    assert (code, "was deleted: `mlflow runs restore --run-id " in error) == (2, True)
    assert runyard("show", "deleted")[0] == 2
    code, _, error = runyard("show", "0" * 32)
    assert (code, error.startswith(f'runyard: there is no run "{"0" * 32}"')) == (2, True)


def test_names_are_no_commands_to_a_terminal(runyard: Command) -> None:
    _, out, _ = runyard("list", "odd")
    assert r"red \x1b[31m\nsecond line :smile: [bold]" in out
    assert "\x1b" not in out


def test_json_has_no_word_for_what_is_no_number(runyard: Command) -> None:
    _, out, _ = runyard("list", "odd", "-o", "json", "--where", "attributes.run_name LIKE '%e%'")
    found = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [run["metrics"]["odd"] for run in found if run["metrics"]] == [0.6, 0.5, 0.1, "NaN"]


def test_runs_that_have_no_number_are_not_among_the_best(runyard: Command) -> None:
    said = json.loads(runyard("best", "odd", "-m", "odd", "-o", "json", "--limit", "9")[1])
    assert [run["metrics"]["odd"] for run in said["runs"]] == [0.6, 0.5, 0.1]
    code, out, _ = runyard("compare", 'it\'s a "quote"', "100 Xsure")
    assert (code, lines(out)[1]) == (0, ["highest", "odd", "nan", "0.6", "*"])


def test_every_page_of_a_long_list_is_read(runyard: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = runyard("list", "-o", "json")[1]
    monkeypatch.setattr(history, "_PAGE", 2)
    monkeypatch.setattr(history, "_EXPERIMENTS_PAGE", 2)
    assert runyard("list", "-o", "json")[1] == whole


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_record_that_is_none_is_named(runyard: Command, past: Past, tmp_path: Path, content: bytes) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{past.folder / 'mlflow.db'}")
    (tmp_path / "provenance.json").write_bytes(content)
    client.log_artifact(past.ids["namesake"], str(tmp_path / "provenance.json"), "runyard")
    code, _, error = runyard("diff", past.ids["namesake"], "deep")
    assert code == 2, "1 would say that they differ"
    assert error.startswith(f"runyard: runyard/provenance.json of run {past.ids['namesake']} is no")
    assert len(error.splitlines()) == 1
