"""`runyard promote`, `rollback`, `promotions` on a real store, and promotions at once on it and on a server."""

import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow.entities import LoggedModelOutput
from sqlalchemy import Engine, event

from runyard.api import promotion as rules
from runyard.api.alias_history import Change, replay
from runyard.api.model import format_time
from runyard.audit import gather
from runyard.cli import main
from runyard.errors import TrackingUnavailable
from runyard.history import History, LoggedRun
from runyard.promotion import Promoted, Registry
from runyard.tracking import ARTIFACT_ROOT_VARIABLE
from tests.support.mlflow_server import mlflow_server
from tests.support.waiting import wait_for

NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Lab:
    """An MLflow with an experiment in it."""

    uri: str
    folder: Path
    client: mlflow.MlflowClient
    registry: Registry
    experiment: str

    def run(self, name: str, status: str = "FINISHED", *, model: bool = True, **metrics: float) -> str:
        """Log a run, with a model unless told otherwise."""
        run_id = str(self.client.create_run(self.experiment, run_name=name).info.run_id)
        self.client.log_param(run_id, "solver", "lbfgs")
        for metric, value in metrics.items():
            self.client.log_metric(run_id, metric, value)
        if model:
            logged = self.client.create_logged_model(self.experiment, "model", run_id)
            self.client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        self.client.set_terminated(run_id, status)
        return run_id

    def champion(self, model: str) -> int | None:
        version = self.client.get_registered_model(model).aliases.get("champion")
        return None if version is None else int(version)

    def run_of_champion(self, model: str) -> str:
        return str(self.client.get_model_version_by_alias(model, "champion").run_id)

    def find(self, run_id: str) -> LoggedRun:
        return History(self.uri).find(run_id)


def opened(uri: str, folder: Path) -> Lab:
    client = mlflow.MlflowClient(uri)
    return Lab(uri, folder, client, Registry(uri), client.create_experiment("heart"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as context:
        context.setenv(ARTIFACT_ROOT_VARIABLE, (folder / "artifacts").as_uri())
        event.listen(Engine, "connect", unsynchronised)
        try:
            yield opened(f"sqlite:///{folder / 'mlflow.db'}", folder)
        finally:
            event.remove(Engine, "connect", unsynchronised)


def unsynchronised(connection: sqlite3.Connection, _: object) -> None:
    """Wait for no disk: that a database survives a power cut is not what is shown here."""
    connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A registered model's name that no other test uses."""
    return str(request.node.name).replace("/", " ").replace(":", " ")[:150]


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runyard(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LOGNAME", "ana")

    def run(*words: str) -> tuple[int, str, str]:
        where = [] if "--tracking-uri" in words else ["--store", str(lab.folder)]
        monkeypatch.setattr(sys, "argv", ["runyard", *words, *where])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        said = capsys.readouterr()
        return (code if isinstance(code, int) else 0 if code is None else 1), said.out, said.err

    return run


def unboxed(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


BETTER = ("--when", "metrics.f1_score >= 0.9", "--better-than", "champion")


def test_a_better_run_becomes_the_champion_and_the_reason_is_kept(runyard: Command, lab: Lab, model: str) -> None:
    first, second = lab.run("first", f1_score=0.91), lab.run("second", f1_score=0.93)
    code, out, _ = runyard("promote", first, "--model", model, *BETTER)
    assert code == 0
    assert out == (
        f"first ({first[:8]}) is now version 1 of {model} and the champion\n"
        f"because metrics.f1_score >= 0.9 holds: f1_score is 0.91; {model} has no champion yet\n"
    )
    code, out, _ = runyard("promote", "second", "--model", model, *BETTER, "--because", "as agreed on Monday")
    assert code == 0
    because = (
        "as agreed on Monday; metrics.f1_score >= 0.9 holds: f1_score is 0.93; "
        "f1_score 0.93 is more than 0.91 of version 1, the champion"
    )
    assert out == (
        f"second ({second[:8]}) is now version 2 of {model} and the champion, instead of version 1\nbecause {because}\n"
    )
    assert lab.run_of_champion(model) == second
    version, run = lab.client.get_model_version(model, "2"), lab.client.get_run(second)
    for tags in (version.tags, run.data.tags):
        assert tags["runyard.dev/promoted-to"] == f"{model}@champion"
        assert tags["runyard.dev/promoted-because"] == because
        assert tags["runyard.dev/promoted-from"] == "1"
        assert tags["runyard.dev/promoted-by"] == "ana"
        assert tags["runyard.dev/promoted-at"].endswith("Z")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--when", "metrics.f1_score > 0.8"], "metrics.f1_score > 0.8 does not hold: f1_score is 0.8"),
        (["--when", "metrics.recall > 0.8"], "has no metric recall; it has: f1_score"),
        ([*BETTER], "metrics.f1_score >= 0.9 does not hold: f1_score is 0.8"),
        (
            ["--better-than", "champion", "-m", "f1_score"],
            "f1_score 0.8 is not more than 0.8 of version 1, the champion",
        ),
        (["--better-than", "champion", "-m", "recall"], "has no metric recall; it has: f1_score"),
    ],
)
def test_what_does_not_hold_is_said_and_nothing_is_done(
    runyard: Command, lab: Lab, model: str, options: list[str], said: str
) -> None:
    runyard("promote", lab.run("champion", f1_score=0.8), "--model", model)
    candidate = lab.run("candidate", f1_score=0.8)
    code, out, _ = runyard("promote", candidate, "--model", model, *options)
    assert code == 1
    first, second = out.splitlines()
    assert first == f"candidate ({candidate[:8]}) is not promoted: version 1 is the champion of {model}"
    assert second.startswith("because ")
    assert said in second
    assert lab.champion(model) == 1
    assert len(lab.client.search_model_versions(f"name='{model}'")) == 1
    code, out, _ = runyard("promote", candidate, "--model", model, *options, "--force", "--because", "I say so")
    assert (code, lab.champion(model)) == (0, 2)
    assert out.splitlines()[1].startswith("because I say so; forced, though ")


def test_a_run_that_failed_is_not_promoted(runyard: Command, lab: Lab, model: str) -> None:
    code, out, _ = runyard("promote", lab.run("bad", "FAILED"), "--model", model)
    assert (code, "is FAILED, and only one that FINISHED is promoted" in out) == (1, True)


def test_a_champion_whose_run_was_deleted_is_not_beaten_unless_by_force(runyard: Command, lab: Lab, model: str) -> None:
    gone = lab.run("gone", f1_score=0.91)
    runyard("promote", gone, "--model", model)
    lab.client.delete_run(gone)
    better = lab.run("better", f1_score=0.99)
    code, out, _ = runyard("promote", better, "--model", model, *BETTER)
    assert code == 1
    assert "version 1, the champion, cannot be compared: the run that it came from is not there" in out
    assert runyard("promote", better, "--model", model, *BETTER, "--force", "--because", "it is gone")[0] == 0
    assert lab.champion(model) == 2


def test_a_second_promotion_of_a_run_makes_no_second_version(runyard: Command, lab: Lab, model: str) -> None:
    run = lab.run("once", f1_score=0.95)
    runyard("promote", run, "--model", model)
    code, out, _ = runyard("promote", run, "--model", model, *BETTER)
    assert (code, out) == (0, f"once ({run[:8]}) is version 1 of {model}, and the champion already\n")
    assert runyard("promote", run, "--model", model, "--alias", "shadow")[0] == 0
    assert len(lab.client.search_model_versions(f"name='{model}'")) == 1
    assert lab.client.get_registered_model(model).aliases == {"champion": 1, "shadow": 1}


def test_a_dry_run_says_the_same_and_does_nothing(runyard: Command, lab: Lab, model: str) -> None:
    run = lab.run("dry", f1_score=0.95)
    code, out, _ = runyard("promote", run, "--model", model, *BETTER, "--dry-run")
    assert code == 0
    assert out.startswith(f"dry ({run[:8]}) would be a new version of {model} and the champion\nbecause metrics.")
    assert runyard("promotions", model)[0] == 2
    body = json.loads(runyard("promote", run, "--model", model, *BETTER, "--dry-run", "-o", "json")[1])
    assert (body["promoted"], body["wouldBePromoted"]) == (False, True)
    assert runyard("promote", run, "--model", model, "--when", "metrics.f1_score > 1", "--dry-run")[0] == 1


def test_a_rollback_goes_back_and_back_again_and_no_further(runyard: Command, lab: Lab, model: str) -> None:
    runs = [lab.run(name) for name in ("one", "two", "three")]
    for run in runs:
        runyard("promote", run, "--model", model)
    code, out, _ = runyard("rollback", model, "--because", "wrong for children")
    assert (code, out) == (0, f"version 2 of {model} is the champion again, instead of version 3\n")
    for tags in (lab.client.get_model_version(model, "3").tags, lab.client.get_run(runs[2]).data.tags):
        assert tags["runyard.dev/rolled-back-because"] == "wrong for children"
        assert tags["runyard.dev/rolled-back-by"] == "ana"
    assert runyard("rollback", model)[0] == 0
    assert lab.champion(model) == 1
    code, _, error = runyard("rollback", model)
    assert code == 2
    assert error == (
        f"runyard: version 1 is the first champion of {model} that is on record: there is nothing to go back to\n"
    )
    # What was rolled back may come again.
    assert runyard("promote", runs[2], "--model", model)[0] == 0
    assert lab.champion(model) == 3
    runyard("rollback", model)
    assert lab.champion(model) == 1


def test_a_version_that_was_deleted_is_not_gone_back_to(runyard: Command, lab: Lab, model: str) -> None:
    for name in ("one", "two"):
        runyard("promote", lab.run(name), "--model", model)
    lab.client.delete_model_version(model, "1")
    code, _, error = runyard("rollback", model)
    assert (code, "version 1, the champion before, was deleted: promote a run instead" in error) == (2, True)
    assert lab.champion(model) == 2


def test_the_history_is_a_table_and_data(runyard: Command, lab: Lab, model: str) -> None:
    first, second = lab.run("first", f1_score=0.91), lab.run("second", f1_score=0.93)
    runyard("promote", first, "--model", model)
    runyard("promote", second, "--model", model, *BETTER)
    runyard("rollback", model, "--because", "wrong for\x1b[2J children")
    code, out, _ = runyard("promotions", model)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["UTC", "ALIAS", "VERSION", "BEFORE", "RUN", "WHAT", "BY", "WHY"]
    assert [row[2:8] for row in rows[1:4]] == [
        ["champion", "1", "2", first[:8], "RolledBack", "ana"],
        ["champion", "2", "1", second[:8], "Promoted", "ana"],
        ["champion", "1", "-", first[:8], "Promoted", "ana"],
    ]
    assert "\x1b" not in out
    assert out.splitlines()[1].rstrip().endswith("wrong for [2J children")
    assert out.splitlines()[-1] == "champion is version 1"
    body = json.loads(runyard("promotions", model, "-o", "json")[1])
    assert body["aliases"] == {"champion": 1}
    assert [(each["version"], each["value"], each["settled"]) for each in body["promotions"]] == [
        (1, None, True),
        (2, "0.93", True),
        (1, None, True),
    ]
    assert yaml.safe_load(runyard("promotions", model, "-o", "yaml")[1]) == body
    assert runyard("promotions", model, "--alias", "shadow")[1] == "No promotions.\nNo version has the alias.\n"


def test_promotions_refusals_and_rollbacks_are_data(runyard: Command, lab: Lab, model: str) -> None:
    def asked(*words: str) -> tuple[int, dict[str, object]]:
        code, out, error = runyard(*words, "-o", "json")
        assert error == ""
        found: dict[str, object] = json.loads(out)
        return code, found

    def promoted(run: str, *, promoted: bool, was_so: bool, version: int | None, instead_of: int | None) -> object:
        return {
            "model": model,
            "alias": "champion",
            "runId": run,
            "promoted": promoted,
            "wouldBePromoted": promoted,
            "wasSo": was_so,
            "version": version,
            "insteadOf": instead_of,
        }

    better, worse = lab.run("better", f1_score=0.93), lab.run("worse", f1_score=0.91)
    code, first = asked("promote", worse, "--model", model)
    assert first.pop("because") == "no condition was set"
    assert (code, first) == (0, promoted(worse, promoted=True, was_so=False, version=1, instead_of=None))
    code, second = asked("promote", better, "--model", model, *BETTER)
    assert str(second.pop("because")).endswith("f1_score 0.93 is more than 0.91 of version 1, the champion")
    assert (code, second) == (0, promoted(better, promoted=True, was_so=False, version=2, instead_of=1))
    code, again = asked("promote", better, "--model", model, *BETTER)
    again.pop("because")
    assert (code, again) == (0, promoted(better, promoted=True, was_so=True, version=2, instead_of=1))
    code, refused = asked("promote", lab.run("worst", f1_score=0.9), "--model", model, *BETTER)
    assert str(refused["because"]).endswith("f1_score 0.9 is not more than 0.93 of version 2, the champion")
    assert (code, refused["promoted"], refused["version"], refused["insteadOf"]) == (1, False, None, 2)
    code, back = asked("rollback", model, "--because", "wrong for children")
    assert back.pop("because") == "wrong for children"
    assert (code, back) == (
        0,
        {"model": model, "alias": "champion", "rolledBack": True, "version": 1, "insteadOf": 2},
    )


def test_an_alias_that_was_moved_by_hand_is_where_it_is_and_on_record(runyard: Command, lab: Lab, model: str) -> None:
    runs = [lab.run(name, f1_score=value) for name, value in (("one", 0.95), ("two", 0.9), ("three", 0.92))]
    for run in runs[:2]:
        runyard("promote", run, "--model", model)
    runyard("rollback", model)
    lab.client.set_registered_model_alias(model, "champion", "2")
    # It need be better than what is there, not than what the record would have.
    assert runyard("promote", runs[2], "--model", model, *BETTER)[0] == 0
    body = json.loads(runyard("promotions", model, "-o", "json")[1])
    assert [(each["change"], each["version"], each["insteadOf"]) for each in body["promotions"][:2]] == [
        ("Promoted", 3, 2),
        ("Moved", 2, 1),
    ]
    lab.client.delete_registered_model_alias(model, "champion")
    assert runyard("rollback", model)[1].startswith("version 3 of")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["promote", "nobody", "--model", "heart"], 'there is no run "nobody"'),
        (["promote", "no-model", "--model", "heart"], "logged no model: there is nothing to promote"),
        (["promote", "fine", "--model", "a/b"], '"a/b" is no name of a registered model'),
        (["promote", "fine", "--model", "heart", "--alias", "v1"], '"v1" is no alias'),
        (["promote", "fine", "--model", "heart", "--when", "f1 > 0"], '"f1 > 0" is no condition: at character 1'),
        (["promote", "fine", "--model", "heart", "--better-than", "champion"], "by which metric?"),
        (["promote", "fine", "--model", "heart", "--force"], "--force needs --because"),
        (["promote", "fine"], "Missing option '--model'"),
        (["rollback", "nothing"], 'there is no registered model "nothing"'),
        (["promotions", "nothing"], 'there is no registered model "nothing"'),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(runyard: Command, lab: Lab, words: list[str], said: str) -> None:
    names = {run.name for run in History(lab.uri).search("heart")}
    for name in {"fine", "no-model"} - names:
        lab.run(name, model=name == "fine", f1_score=0.95)
    code, out, error = runyard(*words)
    assert (code, out) == (2, "")
    assert said in unboxed(error)
    assert "Traceback" not in error


def test_a_server_that_does_not_answer_is_named(runyard: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, _, error = runyard("promotions", "heart", "--tracking-uri", NOBODY)
    assert (code, error.startswith(f"runyard: MLflow at {NOBODY} cannot ")) == (4, True)


class Interposed:
    """MLflow's client, before whose nth request that another promotion has to do with something else happens."""

    GAPS = frozenset(
        {
            *("get_registered_model", "set_registered_model_tag", "set_registered_model_alias"),
            *("create_registered_model", "create_model_version", "search_model_versions", "delete_model_version"),
        }
    )

    def __init__(self, client: mlflow.MlflowClient, nth: int, happens: Callable[[], None]) -> None:
        self._client, self._nth, self._happens = client, nth, happens
        self.requests = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)

        def request(*arguments: Any, **named: Any) -> Any:
            if name in self.GAPS:
                self.requests += 1
                if self.requests == self._nth:
                    self._happens()
            return found(*arguments, **named)

        return request


def promote(
    lab: Lab, model: str, run: LoggedRun, nth: int = 0, happens: Callable[[], None] = lambda: None
) -> tuple[Promoted, int]:
    """Promote a run if it is better; before its nth request something else happens. Return how many there were."""
    registry = copy(lab.registry)
    registry._models = copy(registry._models)  # noqa: SLF001
    client = Interposed(registry._models._client, nth, happens)  # noqa: SLF001
    registry._models._client = client  # noqa: SLF001
    return registry.promote(run, better_f1(model), by="ana"), client.requests


def better_f1(model: str) -> rules.Promotion:
    return rules.asked(model, better_than="champion", metric="f1")


@pytest.fixture(scope="module")
def contenders(lab: Lab) -> list[LoggedRun]:
    return [lab.find(lab.run(f"f1-{value}", f1=value)) for value in (0.5, 0.7, 0.9)]


@pytest.mark.parametrize(("better_comes", "with_champion"), [("before", True), ("after", False)])
def test_whatever_moment_another_promotion_comes_at_the_better_one_stays(
    lab: Lab, model: str, contenders: list[LoggedRun], better_comes: str, *, with_champion: bool
) -> None:
    champion, worse, better = contenders
    begun, between = (worse, better) if better_comes == "before" else (better, worse)
    said: dict[str, Promoted] = {}
    nth, requests = 1, 2
    while nth <= requests:
        name = f"{model} {nth}"
        if with_champion:
            promote(lab, name, champion)

        def another(name: str = name) -> None:
            said["between"], _ = promote(lab, name, between)

        said["begun"], requests = promote(lab, name, begun, nth, another)
        assert lab.run_of_champion(name) == better.id, f"at request {nth}"
        assert said["begun" if begun is better else "between"].promoted
        history = lab.registry.history(name)
        assert {entry.record.change for entry in history} == {Change.PROMOTED}
        assert all(entry.record.settled for entry in history)
        nth += 1
    assert nth > 7


def test_a_promotion_that_is_cut_short_leaves_one_champion_and_the_next_goes_on(
    lab: Lab, model: str, contenders: list[LoggedRun]
) -> None:
    _, worse, better = contenders

    def crash() -> None:
        raise ConnectionError("the network is gone")

    nth, cut_short = 1, True
    while cut_short:
        name = f"{model} {nth}"
        cut_short = False
        try:
            promote(lab, name, better, nth, crash)
        except TrackingUnavailable:
            cut_short = True
        said, _ = promote(lab, name, worse)
        # It is promoted only where the better one had not been written down.
        written = better.id in {entry.record.run_id for entry in lab.registry.history(name)}
        assert said.promoted is not written
        said, _ = promote(lab, name, better)
        assert said.promoted
        assert lab.run_of_champion(name) == better.id
        nth += 1
    assert nth > 7


def test_the_same_run_promoted_twice_at_once_is_one_version(lab: Lab, model: str, contenders: list[LoggedRun]) -> None:
    run = contenders[1]
    nth, requests = 1, 2
    while nth <= requests:
        name = f"{model} {nth}"

        def again(name: str = name) -> None:
            assert promote(lab, name, run)[0].promoted

        outer, requests = promote(lab, name, run, nth, again)
        assert outer.promoted
        assert [int(each.version) for each in lab.client.search_model_versions(f"name='{name}'")] == [1]
        assert lab.champion(name) == 1
        nth += 1


@pytest.fixture(scope="module")
def server_lab() -> Iterator[Lab]:
    with mlflow_server() as server:
        yield opened(server.url, Path())


def test_promotions_at_once_on_a_server_leave_the_best_as_the_one_champion(server_lab: Lab, model: str) -> None:
    lab = server_lab
    runs = [lab.find(lab.run(f"f1-{value}", f1=value)) for value in (0.7, 0.9, 0.8, 0.6)]
    for number in range(5):
        name = f"{model} {number}"
        said: dict[str, Promoted] = {}
        barrier = threading.Barrier(len(runs))

        def one(
            run: LoggedRun, name: str = name, said: dict[str, Promoted] = said, gate: threading.Barrier = barrier
        ) -> None:
            gate.wait()
            said[run.id] = promote(lab, name, run)[0]

        threads = [threading.Thread(target=one, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(said) == len(runs)
        assert lab.run_of_champion(name) == runs[1].id
        assert said[runs[1].id].promoted
        history = lab.registry.history(name)
        assert replay(history).holder == lab.champion(name)
        assert all(entry.record.settled for entry in history)


def test_a_model_that_was_promoted_is_loaded_by_its_alias(server_lab: Lab, model: str) -> None:
    mlflow.set_tracking_uri(server_lab.uri)
    with mlflow.start_run(experiment_id=server_lab.experiment) as run:
        logged = mlflow.pyfunc.log_model(
            name="model", python_model=lambda model_input: model_input, input_example=["a"], pip_requirements=[]
        )
    said = server_lab.registry.promote(server_lab.find(run.info.run_id), rules.asked(model))
    assert said.promoted
    assert mlflow.pyfunc.load_model(f"models:/{model}@champion").predict(["b"]).iloc[0, 0] == "b"
    # A version that the script registered itself is taken.
    registered = mlflow.register_model(f"models:/{logged.model_id}", f"{model} by hand")
    said = server_lab.registry.promote(server_lab.find(run.info.run_id), rules.asked(f"{model} by hand"))
    assert said.version == int(registered.version)


def test_a_version_that_is_promoted_to_two_aliases_is_audited_under_each(
    runyard: Command, lab: Lab, model: str
) -> None:
    run = lab.run("good", f1_score=0.9)
    assert runyard("promote", run, "--model", model, "--alias", "staging", "--because", "to try it")[0] == 0
    first = lab.client.get_model_version(model, "1").tags["runyard.dev/promoted-at"]
    wait_for("a second later", lambda: format_time(datetime.now(UTC)) > first)
    assert runyard("promote", run, "--model", model, "--because", "it was good for a week")[0] == 0
    lab.client.set_registered_model_alias(model, "by-hand", "1")

    found = {
        one.alias: one for one in gather(History(lab.uri), None, None, lambda *_: None).versions if one.model == model
    }

    assert {alias: one.because.partition(";")[0] for alias, one in found.items()} == {
        "staging": "to try it",
        "champion": "it was good for a week",
        "by-hand": "",
    }
    assert format_time(found["staging"].promoted_at) == first
    last = lab.client.get_model_version(model, "1").tags["runyard.dev/promoted-at"]
    assert format_time(found["champion"].promoted_at) == last > first
    assert found["by-hand"].promoted_at == found["by-hand"].created_at
    assert [found[alias].lacks for alias in ("staging", "champion", "by-hand")] == [[], [], ["reason"]]
    # Those that were promoted since: one of the two.
    since = found["champion"].promoted_at
    later = gather(History(lab.uri), None, since, lambda *_: None).versions
    assert [one.alias for one in later if one.model == model] == ["champion"]
    code, out, error = runyard("audit", "heart", "-o", "json")
    assert code == 0, error
    behind = [each["name"] for each in json.loads(out)["measures"]["promotion"]["behind"]]
    assert {f"{model} 1 ({alias})" for alias in found} <= {*behind}
