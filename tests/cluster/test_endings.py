"""Each way in which a training can end, on its own or by the kernel."""

from typing import Any

import pytest

from tests.cluster.training import NO_LOG, RUNTIME, Trainings, manifest, of_script, of_shell

CODES = (1, 2, 137, 143)
_SMALL = {"limits": {"memory": "300Mi"}}
# Long enough for a dozen pods to begin all at once.
_DEADLINE_SECONDS = 20


def _beside(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "image": RUNTIME, "command": ["sh", "-c", script]}


@pytest.fixture(scope="module", autouse=True)
def begun(trainings: Trainings) -> None:
    trainings.kubectl.apply(
        # Two tries are left, so that a code that is not tried again shows.
        *(
            of_shell(f"code-{code}", f"echo exit {code}; exit {code}", backoffLimit=2 if code == 2 else 0)
            for code in CODES
        ),
        of_shell("no-command", "no-such-program", backoffLimit=2),
        manifest("no-program", command=["no-such-program"], backoffLimit=2),
        of_shell(
            "ignores-sigterm",
            "trap '' TERM; echo ignoring; while true; do sleep 1; done",
            activeDeadlineSeconds=_DEADLINE_SECONDS,
            podTemplate={"spec": {"terminationGracePeriodSeconds": 4}},
        ),
        of_shell("hears-sigterm", "echo process $$; sleep 3600", activeDeadlineSeconds=_DEADLINE_SECONDS),
        of_script("done-early", "exits_0_in_run.py"),
        of_shell(
            "not-unpacked",
            "echo never",
            podTemplate={"spec": {"initContainers": [_beside("unpack", "echo no archive; exit 2")]}},
        ),
        of_shell(
            "beside",
            "echo trained",
            podTemplate={"spec": {"containers": [_beside("proxy", "sleep 3; echo no route; exit 7")]}},
        ),
        of_script("oom-in-child", "oom_in_child.py", resources={"limits": {"memory": "450Mi"}}),
        of_shell(
            "oom-of-pod", "echo allocating; head -c 600m /dev/zero | tail", podTemplate={"spec": {"resources": _SMALL}}
        ),
    )


@pytest.mark.parametrize("code", CODES)
def test_exit_code(trainings: Trainings, code: int) -> None:
    done = trainings.finish(f"code-{code}")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", code)], f"exit {code}")
    hint = " (killed: from outside, or out of memory)" if code == 137 else ""
    assert done.status["message"] == f"exit code {code}{hint}: exit {code}"


def test_a_program_that_is_not_there_is_not_tried_again(trainings: Trainings) -> None:
    done = trainings.finish("no-command")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 127)], "not found")
    # No shell was there to say so: the container runtime does, and there is no log.
    done = trainings.finish("no-program")
    assert [(found["outcome"], found["exitCode"]) for found in done.status["attempts"]] == [("Failed", 128)]
    assert '"no-such-program": executable file not found' in done.status["message"], done.status["message"]


def test_exit_0_in_the_middle_of_a_run(trainings: Trainings) -> None:
    done = trainings.finish("done-early")
    done.assert_agreement("Succeeded", "Completed", [("Succeeded", "Completed", 0)], "done early")
    [run] = done.runs
    assert run["info"]["status"] == "FINISHED"


def test_an_init_container_that_fails_is_the_cause(trainings: Trainings) -> None:
    done = trainings.finish("not-unpacked")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 2)], NO_LOG)
    [attempt] = done.status["attempts"]
    assert attempt["container"] == "unpack"
    assert done.status["message"].startswith("exit code 2 of the container unpack")
    assert "the container unpack failed" in done.log(attempt)
    assert done.log(attempt, "unpack") == "no archive\n"


def test_a_container_beside_the_training_that_fails_is_the_cause(trainings: Trainings) -> None:
    done = trainings.finish("beside")
    done.assert_agreement("Failed", "Error", [("Failed", "Error", 7)], "trained")
    [attempt] = done.status["attempts"]
    assert attempt["container"] == "proxy"
    assert done.status["message"].startswith("exit code 7 of the container proxy")
    assert done.log(attempt, "proxy") == "no route\n"


def test_sigterm_ignored(trainings: Trainings) -> None:
    done = trainings.finish("ignores-sigterm")
    [attempt] = done.status["attempts"]
    assert attempt.get("exitCode") in {None, 137}, "a pod that is deleted need not say"
    ends = [("Failed", "DeadlineExceeded", attempt.get("exitCode"))]
    done.assert_agreement("Failed", "DeadlineExceeded", ends, "ignoring")


def test_sigterm_heard(trainings: Trainings) -> None:
    """Nobody is deaf to it by being the first process, whom the kernel protects from signals."""
    done = trainings.finish("hears-sigterm")
    [attempt] = done.status["attempts"]
    assert attempt.get("exitCode") in {None, 143}, "a pod that is deleted need not say"
    ends = [("Failed", "DeadlineExceeded", attempt.get("exitCode"))]
    done.assert_agreement("Failed", "DeadlineExceeded", ends, "process ")
    assert "process 1\n" not in done.log(attempt)


def test_out_of_memory_in_a_child(trainings: Trainings) -> None:
    done = trainings.finish("oom-in-child")
    done.assert_out_of_memory(1, "allocating in a child")


def test_out_of_memory_of_the_pod_as_a_whole(trainings: Trainings) -> None:
    done = trainings.finish("oom-of-pod")
    done.assert_out_of_memory(137, "allocating")
