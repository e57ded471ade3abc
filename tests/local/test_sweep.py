"""Sweeps on this machine: every trial once, whatever happens in between, and the best named."""

import json
import os
import re
import shutil
import signal
import textwrap
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import Run
from optuna import load_study
from optuna.trial import FrozenTrial

from runyard import local, manifest, study, sweep
from runyard.api.sweeping import Trial, TrialState
from runyard.errors import RunyardError
from tests.local.laptop import Laptop
from tests.support.mlflow_server import MlflowRest, mlflow_server, tags_of
from tests.support.waiting import wait_for

WINE = Path(__file__).parents[2] / "examples" / "wine"
LOGS = """
    import mlflow, sys
    with mlflow.start_run():
        mlflow.log_metric("score", float(sys.argv[1]) * 10)
"""

# Over REST, as a client in any language would: MLflow's import takes longer than all else that a sweep does.
REST = """
    import json, os, sys, time, urllib.request
    x = float(sys.argv[1])

    def call(path, **body):
        url = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request, timeout=60))

    def log(value, step=0):
        now = int(time.time() * 1000)
        call("log-metric", run_id=run_id, key="score", value=value, timestamp=now, step=step)

    def finish():
        call("update", run_id=run_id, status="FINISHED", end_time=int(time.time() * 1000))

    tags = [{"key": key, "value": value} for key, value in json.loads(os.environ["MLFLOW_RUN_CONTEXT"]).items()]
    begun = int(time.time() * 1000)
    run_id = call("create", experiment_id="0", start_time=begun, tags=tags)["run"]["info"]["run_id"]
"""


@pytest.fixture(scope="module")
def mlflow() -> Iterator[MlflowRest]:
    with mlflow_server() as found:
        yield found


@dataclass(frozen=True)
class Person:
    """A machine on which trials log to a server."""

    laptop: Laptop
    server: MlflowRest
    name: str

    def write(self, script: str, **spec: Any) -> Path:
        """Write a sweep of a name that no other test has, whose script logs over REST."""
        return write_sweep(self.laptop, REST + script, name=self.name, **spec)

    def options(self, file: Path) -> tuple[str | Path, ...]:
        return ("sweep", file, "--tracking-uri", self.server.url, "-o", "json")

    def sweep(self, file: Path) -> sweep.Finished:
        """Run it to its end, as the library does."""
        options = sweep.Options(file.parent, local.Server(self.server.url), studies=self.laptop.store)
        return sweep.run(manifest.read_sweep(file), options, lambda *_: None)

    @property
    def parents(self) -> list[dict[str, Any]]:
        """The runs above its trials'."""
        return self.server.runs(f"tags.`runyard.dev/sweep` = '{self.name}' AND tags.`runyard.dev/made` = 'sweep'")

    @property
    def children(self) -> list[dict[str, Any]]:
        """The runs of its trials."""
        return self.server.runs(f"tags.`runyard.dev/sweep` = '{self.name}' AND tags.`runyard.dev/trial` != ''")


@pytest.fixture
def person(laptop: Laptop, mlflow: MlflowRest) -> Person:
    return Person(laptop, mlflow, f"wine-{uuid.uuid4().hex[:8]}")


def write_sweep(laptop: Laptop, script: str, name: str = "wine", **spec: Any) -> Path:
    """Write a script and the sweep that tries it; return the manifest's path."""
    (laptop.project / "train.py").write_text(textwrap.dedent(script), encoding="utf-8")
    body = {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingSweep",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "image": "x",
                "command": ["python", "train.py"],
                "args": ["$(params.x)"],
                "experiment": "wines",
                **spec.pop("template", {}),
            },
            "parameters": {"x": {"values": [1, 3, 2]}},
            "objective": {"metric": "score"},
            "parallelism": 2,
            **spec,
        },
    }
    file = laptop.project / "sweep.yaml"
    file.write_text(yaml.safe_dump(body), encoding="utf-8")
    return file


def swept(laptop: Laptop, file: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run it to its end; return the exit code, the data that it prints, and what it said beside that."""
    code, out, error = laptop.cli("sweep", file, "--store", laptop.store, "-o", "json", *options)
    return code, json.loads(out) if out else {}, error


def parents(laptop: Laptop) -> list[Run]:
    return [run for run in laptop.runs() if run.data.tags.get("runyard.dev/made") == "sweep"]


def children(laptop: Laptop) -> list[Run]:
    return [run for run in laptop.runs() if "runyard.dev/trial" in run.data.tags]


def test_a_grid_is_tried_and_the_best_is_named(laptop: Laptop) -> None:
    file = write_sweep(laptop, LOGS)
    code, out, error = laptop.cli("sweep", file, "--store", laptop.store)
    assert code == 0, error
    assert "wine-1 Succeeded score=30" in error
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["TRIAL", "STATE", "score", "x", "RUN"]
    assert [row[:4] for row in rows[1:4]] == [
        ["wine-1", "Succeeded", "30", "3"],
        ["wine-2", "Succeeded", "20", "2"],
        ["wine-0", "Succeeded", "10", "1"],
    ]
    assert out.splitlines()[-1] == "Best: wine-1, score=30.0, x=3"
    [parent] = parents(laptop)
    assert (parent.info.status, parent.data.metrics) == ("FINISHED", {"score": 30.0})
    trials = children(laptop)
    assert [run.data.tags["mlflow.parentRunId"] for run in trials] == [parent.info.run_id] * 3
    [best] = [run for run in trials if run.data.metrics["score"] == 30]
    assert parent.data.tags["runyard.dev/best-run"] == best.info.run_id

    # The run above them has the same value, and was there before; it is none that could be promoted.
    code, out, error = laptop.cli("best", "wines", "--metric", "score", "--store", laptop.store)
    assert code == 0, error
    assert out.startswith(f"{best.info.run_name}: score 30, the highest\n")
    assert out.endswith("\nNot counted: 1 above a sweep's trials.\n")

    # The same command says the same, and trains nothing.
    again, found, error = swept(laptop, file)
    assert again == 0
    assert "3/3 trials have ended before" in error
    assert found["status"]["best"] == {
        "trial": "wine-1",
        "value": "30.0",
        "runId": best.info.run_id,
        "parameters": {"x": "3"},
    }
    assert [trial["state"] for trial in found["trials"]] == ["Succeeded"] * 3
    assert len(children(laptop)) == 3
    # More are asked for: those that are there stay.
    anew, found, _ = swept(laptop, file, "--new")
    assert (anew, found["status"]["progress"]) == (0, "3/3")
    assert (len(parents(laptop)), len(children(laptop))) == (2, 6)


def test_the_wine_example_is_swept_and_its_best_forest_can_be_promoted(laptop: Laptop) -> None:
    shutil.copy(WINE / "train.py", laptop.project)
    body = yaml.safe_load((WINE / "sweep.yaml").read_text())
    body["spec"]["maxTrials"] = 2
    file = laptop.project / "sweep.yaml"
    file.write_text(yaml.safe_dump(body), encoding="utf-8")
    code, found, error = swept(laptop, file)
    assert (code, found.get("status", {}).get("progress")) == (0, "2/2"), error
    code, out, error = laptop.cli("best", "wine", "-m", "f1_score", "-o", "json", "--store", laptop.store)
    assert code == 0, error
    # Below the sweep's run is the trial's grid of one, and below that the forest, which has the model.
    first = json.loads(out)["runs"][0]
    assert first["name"].startswith("forest-")
    assert first["metrics"]["f1_score"] == float(found["status"]["best"]["value"])
    assert first["parentRunId"] in {trial["runId"] for trial in found["trials"]}
    asked = ("promote", first["runId"], "--model", "wine", "--dry-run", "--store", laptop.store)
    code, out, error = laptop.cli(*asked)
    assert code == 0, error


def test_trials_that_fail_are_counted_and_too_many_end_it(person: Person) -> None:
    script = """
    if x == 2:
        finish()
    else:
        sys.exit("out of luck")
"""
    file = person.write(script, parallelism=1, maxFailedTrials=2, parameters={"x": {"min": 1, "max": 9}})
    found = person.sweep(file)
    assert (found.sweep.status.phase, found.sweep.status.progress) == ("Failed", "3/9")
    assert found.sweep.status.message == "3 trials failed, more than maxFailedTrials: 2"
    assert {index: (trial.state, trial.message) for index, trial in found.trials.items()} == {
        0: ("Failed", "Error: exit code 1: out of luck"),
        1: ("Failed", "it succeeded without logging score"),
        2: ("Failed", "Error: exit code 1: out of luck"),
    }
    assert statuses(person.parents) == {"FAILED": 1}


def test_a_sweep_that_is_killed_half_way_goes_on_and_no_trial_is_tried_twice(person: Person) -> None:
    script = """
    time.sleep(0.2)
    log(x)
    finish()
    with open("done.txt", "a") as file:
        file.write("one more\\n")
"""
    file = person.write(script, parameters={"x": {"min": 1, "max": 40}}, parallelism=4)
    done = person.laptop.project / "done.txt"
    with person.laptop.command(*person.options(file)) as process:
        wait_for("half of the trials are done", lambda: _lines(done) >= 20, timeout_seconds=240)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)
    found = person.sweep(file)
    assert (found.sweep.status.phase, found.sweep.status.progress) == ("Succeeded", "40/40")
    assert {trial.state for trial in found.trials.values()} == {"Succeeded"}
    assert found.sweep.status.best
    assert found.sweep.status.best.value == "40.0"
    tags = [tags_of(run) for run in person.children]
    finished = Counter(tag["runyard.dev/trial"] for tag in tags if tag["runyard.dev/outcome"] == "Succeeded")
    assert finished == {str(index): 1 for index in range(40)}
    ends = statuses(person.children)
    assert ends["FINISHED"] == 40
    # Besides those that were cut off, at most as many as went on at that time.
    assert set(ends) <= {"FINISHED", "KILLED"}
    assert ends["KILLED"] <= 4
    assert statuses(person.parents) == {"FINISHED": 1}


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def statuses(runs: list[dict[str, Any]]) -> Counter[str]:
    return Counter(run["info"]["status"] for run in runs)


def test_an_interrupted_sweep_closes_its_runs_and_goes_on(person: Person) -> None:
    script = """
    log(x)
    open(f"begun-{x:.0f}", "w").close()
    if x != 1 and not os.path.exists("go"):
        time.sleep(600)
    finish()
"""
    file = person.write(script)
    with person.laptop.command(*person.options(file)) as process:
        wait_for(
            "the first has ended, others have begun",
            lambda: all((person.laptop.project / f"begun-{x}").exists() for x in (1, 2, 3)),
            timeout_seconds=120,
        )
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "interrupted at 1/3 trials: the same command goes on with them" in error
    assert statuses(person.children) == {"FINISHED": 1, "KILLED": 2}
    assert statuses(person.parents) == {"KILLED": 1}
    (person.laptop.project / "go").touch()
    assert person.sweep(file).sweep.status.progress == "3/3"
    assert statuses(person.children) == {"FINISHED": 3, "KILLED": 2}
    assert statuses(person.parents) == {"FINISHED": 1}


def test_bad_trials_are_ended_early(person: Person) -> None:
    script = """
    for step in range(1, 4 if x > 1 else 1_000_000):
        log(x, step)
        time.sleep(0 if x > 1 else 0.5)
    finish()
"""
    file = person.write(script, parameters={"x": {"values": [5, 6, 1]}}, pruning={"afterSteps": 2, "minTrials": 2})
    found = person.sweep(file)
    assert [found.trials[index].state for index in range(3)] == ["Succeeded", "Succeeded", "Pruned"]
    assert "is worse than 5.5, the median of 2 other trials" in (found.trials[2].message or "")
    [pruned] = [run for run in person.children if tags_of(run)["runyard.dev/trial"] == "2"]
    assert (pruned["info"]["status"], tags_of(pruned)["runyard.dev/reason"]) == ("KILLED", "Pruned")
    assert person.sweep(file).trials[2].state == "Pruned"
    assert len(person.children) == 3


def test_optuna_chooses_and_goes_on_with_its_study(person: Person) -> None:
    script = """
    log(-((x - 0.3) ** 2))
    finish()
"""
    spec = {"parameters": {"x": {"min": 0, "max": 1, "type": "Float"}}, "algorithm": "Optuna", "maxTrials": 6}
    found = person.sweep(person.write(script, **spec))
    first = {index: trial.parameters for index, trial in found.trials.items()}
    assert len({str(tried) for tried in first.values()}) == 6
    assert (person.laptop.store / "optuna.db").exists()
    # With more trials the same ones stay, and are known by what they were tried with.
    found = person.sweep(person.write(script, **{**spec, "maxTrials": 8}))
    assert {index: found.trials[index].parameters for index in first} == first
    assert statuses(person.children) == {"FINISHED": 8}


# Of a trial, its value by what it was tried with; it ends with a line in a file, for who counts.
PEAK = """
    trial = int(json.loads(os.environ["MLFLOW_RUN_CONTEXT"])["runyard.dev/trial"])
    log(-((x - 0.3) ** 2))
    time.sleep(0.2)
    finish()
    with open("done.txt", "a") as file:
        file.write("one more\\n")
"""
FRACTION = {"parameters": {"x": {"min": 0, "max": 1, "type": "Float"}}, "algorithm": "Optuna"}


def killed(person: Person, file: Path, trials: int) -> None:
    """Start a sweep, and kill it when some trials are done."""
    done = person.laptop.project / "done.txt"
    with person.laptop.command(*person.options(file)) as process:
        wait_for(f"{trials} trials are done", lambda: _lines(done) >= trials, timeout_seconds=240)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=120)


def studied(person: Person) -> list[FrozenTrial]:
    """What Optuna has of the trials, by number."""
    [parent] = person.parents
    database = f"sqlite:///{person.laptop.store / 'optuna.db'}"
    return load_study(study_name=parent["info"]["run_id"], storage=database).trials


def test_an_optuna_sweep_that_is_killed_half_way_goes_on_and_leaves_no_trial_open(person: Person) -> None:
    # The last four log bad values for ever: those of before the kill are needed for the median that ends them.
    script = PEAK.replace("    log(", "    log(-9 if trial >= 36 else ").replace(
        "time.sleep(0.2)", "time.sleep(0.2 if trial < 36 else 600)"
    )
    spec = {**FRACTION, "maxTrials": 40, "parallelism": 4, "pruning": {"afterSteps": 0, "minTrials": 30}}
    file = person.write(script, **spec)
    killed(person, file, 20)
    finished = [run for run in person.children if run["info"]["status"] == "FINISHED"]
    assert 16 <= len(finished) < 30, "what is left is less than minTrials"

    found = person.sweep(file)

    assert (found.sweep.status.phase, found.sweep.status.progress) == ("Succeeded", "40/40")
    assert [found.trials[index].state for index in range(40)] == ["Succeeded"] * 36 + ["Pruned"] * 4
    # Those beside them may go on for a moment yet.
    judged = [
        re.search(r"the median of (\d+) other trials", found.trials[index].message or "") for index in range(36, 40)
    ]
    assert all(each and 30 <= int(each[1]) <= 36 for each in judged), judged
    ended = Counter(tags_of(run)["runyard.dev/trial"] for run in person.children if _has_ended(run))
    assert ended == {str(index): 1 for index in range(40)}
    assert set(statuses(person.children)) == {"FINISHED", "KILLED"}
    # Optuna has each as it was tried, and as it ended.
    kept = studied(person)
    assert [(trial.number, trial.params, trial.value) for trial in kept] == [
        (index, found.trials[index].parameters, found.trials[index].value) for index in range(40)
    ]
    assert [trial.state.name for trial in kept] == ["COMPLETE"] * 36 + ["PRUNED"] * 4
    tried = {tags_of(run)["runyard.dev/trial"]: _last(run, "score") for run in person.children if _has_ended(run)}
    assert all(tried[str(trial.number)] == trial.value for trial in kept[:36])


def _has_ended(run: dict[str, Any]) -> bool:
    """Whether a trial's run is one that ended by itself, or because it was bad."""
    tags = tags_of(run)
    return tags["runyard.dev/outcome"] == "Succeeded" or tags["runyard.dev/reason"] == "Pruned"


def _last(run: dict[str, Any], name: str) -> float:
    [value] = [metric["value"] for metric in run["data"]["metrics"] if metric["key"] == name]
    return float(value)


def test_an_optuna_sweep_that_was_killed_tries_what_it_would_have_tried(person: Person, tmp_path: Path) -> None:
    # One at a time, so that what was known at each choice is known here; of the first ten Optuna chooses by chance.
    file = person.write(PEAK, **FRACTION, maxTrials=14, parallelism=1)
    killed(person, file, 11)
    found = person.sweep(file)
    spec = manifest.read_sweep(file).spec
    calm = study.Study(study.storage(f"sqlite:///{tmp_path / 'calm.db'}"), "calm", spec)
    known: list[Trial] = []
    for index in range(14):
        tried = calm.ask(index, known)
        known.append(Trial(index, TrialState.SUCCEEDED, -((float(str(tried["x"])) - 0.3) ** 2), parameters=tried))
    assert [found.trials[index].parameters for index in range(14)] == [trial.parameters for trial in known]
    assert [found.trials[index].value for index in range(14)] == [trial.value for trial in known]
    assert {trial.state.name for trial in studied(person)} == {"COMPLETE"}


def test_a_study_that_is_not_there_is_told_and_nobody_guesses_what_was_tried(person: Person, tmp_path: Path) -> None:
    script = """
    log(x)
    finish()
"""
    file = person.write(script, **FRACTION, maxTrials=2)
    found = person.sweep(file)
    elsewhere = tmp_path / "elsewhere"
    options = sweep.Options(file.parent, local.Server(person.server.url), studies=elsewhere)
    with pytest.raises(RunyardError) as refused:
        sweep.run(manifest.read_sweep(file), options, lambda *_: None)
    assert str(refused.value) == (
        f"{elsewhere / 'optuna.db'} does not have the study of this sweep, whose trials are in MLflow: start the "
        "command where it was started first, or begin the sweep again with --new"
    )
    assert refused.value.exit_code == 2
    assert not elsewhere.exists()
    assert statuses(person.parents) == {"FINISHED": 1}

    # One that cannot be read is left as it is, and said in a sentence.
    database = person.laptop.store / "optuna.db"
    kept = database.read_bytes()
    database.write_bytes(b"no database" * 1000)
    said = f"Optuna's database {database} cannot be used: file is not a database"
    code, out, error = person.laptop.cli(*person.options(file))
    assert (code, out, error) == (4, "", f"runyard: {said}\n")
    more = person.write(script, **FRACTION, maxTrials=2, seed=1)
    code, out, error = person.laptop.cli(*person.options(more))
    assert (code, out) == (4, "")
    assert error.endswith(f"runyard: {said}: the same command goes on with the sweep\n")
    assert statuses(person.parents) == {"FINISHED": 1, "KILLED": 1}
    database.write_bytes(kept)
    assert person.sweep(more).sweep.status.progress == "2/2"
    file = person.write(script, **FRACTION, maxTrials=2)
    assert person.sweep(file).trials == found.trials


def test_two_commands_do_not_work_on_one_sweep(person: Person) -> None:
    script = """
    while not os.path.exists("go"):
        time.sleep(0.1)
"""
    file = person.write(script, parameters={"x": {"values": [1]}})
    with person.laptop.command(*person.options(file)) as process:
        wait_for("it has begun", lambda: bool(person.children) or None, timeout_seconds=120)
        with pytest.raises(RunyardError, match="another `runyard sweep` is at work on this sweep") as refused:
            person.sweep(file)
        (person.laptop.project / "go").touch()
        process.communicate(timeout=120)
    assert refused.value.exit_code == 2
    assert process.returncode == 1  # it logs no score


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"suspend": True}, "spec.suspend: true: `runyard sweep` would begin nothing: leave it out"),
        ({"template": {"workers": 2}}, "spec.template.workers: 2: `runyard sweep` starts one process"),
        ({"template": {"command": None}}, "spec.template.command: Required value: `runyard sweep` starts it"),
        ({"parameters": {"x": {}}}, "spec.parameters[x]: Required value: say what to try: values, or min and max"),
    ],
)
def test_what_cannot_be_tried_here_is_said(laptop: Laptop, spec: dict[str, Any], said: str) -> None:
    code, _, error = swept(laptop, write_sweep(laptop, "", **spec))
    assert code == 2
    assert said in error


def test_what_is_no_sweep_is_said(laptop: Laptop) -> None:
    code, _, error = laptop.cli("sweep", laptop.write(""))
    assert code == 2
    assert "this is a TrainingRun, not a TrainingSweep: `runyard run FILE`" in error


def test_without_mlflow_nothing_begins(laptop: Laptop) -> None:
    file = write_sweep(laptop, LOGS)
    code, out, error = laptop.cli("sweep", file, "--tracking-uri", "http://127.0.0.1:9")
    assert (code, out) == (4, "")
    assert "MLflow at http://127.0.0.1:9 cannot be used" in error
