"""Sizes and alphabets at their limits."""

from typing import Any

import pytest

from tests.cluster.training import Trainings, of_script, of_shell
from tests.support.mlflow_server import tags_of

# A dot where an event's name is cut.
LONG = "a" * 199 + "." + "b" * 53
_MIB = 1 << 20
_LINES = "yes 'a line of a log that is much too long' | head -c"
# A kubelet rotates a file of more than 10 MiB, every ten seconds, and gives only what came after; in the file each line
# has a time of its own, as long as the line. What is written in the last moment before can be had from nobody, so the
# first is short enough, and the second has more to say.
_LONG_LOG = f"{_LINES} {3 * _MIB}; echo the last line"
_HUGE_LOG = f"{_LINES} {100 * _MIB}; for i in $(seq 15); do echo tick; sleep 1; done; echo the last line"
_GARBLED = r"printf 'caf\351 \377\376\200 \303\n\000 binary\n'; exit 1"
_NAME = "Ünïcødé 模型 🧪 $(params.NAME) 'quoted' \"twice\" \\ back"
_ARGUMENT = "аргумент 引数 🚀"


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings) -> None:
    unicode = of_script(
        "unicode",
        "unicode.py",
        _ARGUMENT,
        experiment="实验 café 🚀",
        parameters={"NAME": _NAME},
        env=[{"name": "GREETING", "value": "Grüße $(params.NAME)"}],
    )
    unicode["metadata"]["annotations"] = {"example.com/description": "описание 説明 🚀"}
    trainings.kubectl.apply(
        of_shell("huge-log", _HUGE_LOG),
        of_shell("long-log", _LONG_LOG),
        of_shell("garbled", _GARBLED),
        of_shell(LONG, "echo long"),
        unicode,
        of_script("long-parameter", "long_parameter.py", "text", parameters={"TEXT": "x" * 6001}),
        of_script("long-parameter-name", "long_parameter.py", "k" * 251, parameters={"TEXT": "x"}),
        of_script("nested", "nested_runs.py"),
        of_shell("wide", 'echo "$PARAM_p99"', parameters={f"p{number}": "v" * 2000 for number in range(100)}),
    )


def test_a_log_of_100_mb_is_kept_as_far_as_the_kubelet_has_it(trainings: Trainings) -> None:
    done = trainings.finish("huge-log")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "tick")
    [attempt] = done.status["attempts"]
    log = done.log(attempt)
    assert log.endswith("tick\nthe last line\n")
    # A pod that has ended is rotated no more: whoever asks its kubelet later is given the same.
    there_is = trainings.kubectl("logs", attempt["pod"], "--container=training").encode()
    assert log.encode() == there_is[-_MIB:]


def test_a_long_log_is_kept_to_its_last_mebibyte(trainings: Trainings) -> None:
    done = trainings.finish("long-log")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "the last line")
    log = done.log(done.status["attempts"][0])
    assert len(log) == _MIB
    assert log.endswith("the last line\n")


def test_a_log_that_is_not_text_is_kept_as_it_is(trainings: Trainings) -> None:
    done = trainings.finish("garbled")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 1)], "binary")
    [attempt], [run] = done.status["attempts"], done.runs
    log = trainings.mlflow.artifact(run, f"runyard/log-{attempt['pod']}.txt")
    assert log == b"caf\xe9 \xff\xfe\x80 \xc3\n\x00 binary\n"


def test_a_name_of_253_characters(trainings: Trainings) -> None:
    assert len(LONG) == 253
    done = trainings.finish(LONG)
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "long")
    [run] = done.runs
    assert tags_of(run)["runyard.dev/name"] == LONG
    events = trainings.kubectl("events", f"--for=trainingrun/{LONG}")
    assert "Succeeded" in events


def test_unicode_everywhere(trainings: Trainings) -> None:
    done = trainings.finish("unicode")
    printed = f"名前 {_NAME} {_ARGUMENT} Grüße {_NAME}"
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 1)], printed)
    assert done.status["message"] == "exit code 1: конец: 失敗 💥"
    [run] = done.runs
    assert run["info"]["run_name"] == "прогон 🚀"
    assert {"key": "größe", "value": _NAME} in run["data"]["params"]
    assert tags_of(run)["メモ"] == _ARGUMENT
    assert done.status["metrics"] == {"genauigkeit/ä": "0.5"}
    manifest = trainings.mlflow.artifact(run, "runyard/trainingrun.yaml").decode()
    assert "описание 説明 🚀" in manifest
    experiment: dict[str, Any] = trainings.mlflow.call(
        f"mlflow/experiments/get?experiment_id={run['info']['experiment_id']}"
    )
    assert experiment["experiment"]["name"] == "实验 café 🚀"


def test_a_parameter_longer_than_mlflow_takes_is_cut(trainings: Trainings) -> None:
    done = trainings.finish("long-parameter")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "length 6001")
    [run] = done.runs
    assert [len(found["value"]) for found in run["data"]["params"]] == [6000]


def test_a_parameter_with_a_longer_name_than_mlflow_takes_fails_the_training(trainings: Trainings) -> None:
    done = trainings.finish("long-parameter-name")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 1)], "length 1")
    assert "250" in done.log(done.status["attempts"][0]), "it is MLflow's refusal"
    assert done.status["metrics"] == {"accuracy": "0.5"}


def test_many_long_parameters_reach_the_training(trainings: Trainings) -> None:
    done = trainings.finish("wide")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "v" * 2000)


def test_nested_runs(trainings: Trainings) -> None:
    done = trainings.finish("nested")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "2 children")
    by_name = {run["info"]["run_name"]: run["info"] for run in done.runs}
    assert by_name.keys() == {"grid", "depth-1", "depth-2"}
    assert done.status["tracking"]["runId"] == by_name["grid"]["run_id"]
    assert {info["status"] for info in by_name.values()} == {"FINISHED"}
