"""What is decided about trainings that go on: a log's end, places in queues, what can be done, whose forms count."""

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.api.trainingrun import TrainingRun
from runyard.dashboard import changes, forms, queues, selection
from runyard.dashboard.changes import Change
from runyard.dashboard.kept import Kept
from runyard.dashboard.logs import MOST_BYTES, MOST_LINES, last_lines
from runyard.dashboard.progress import attempt
from runyard.dashboard.trainings import Stand

ENDED = {"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": "2026-01-02T03:04:05Z"}


def training(name: str = "a", phase: str | None = None, **more: Any) -> TrainingRun:
    """A TrainingRun; what is given besides its phase is of its spec, metadata and status."""
    status = {"phase": phase, **more.pop("status", {})}
    metadata = {"name": name, "namespace": "team-a", **more.pop("metadata", {})}
    spec = {"image": "x", **more}
    return TrainingRun.model_validate({"metadata": metadata, "spec": spec, "status": status})


LINES = [
    (b"", ""),
    (b"one\ntwo\n", "one\ntwo\n"),
    (b"one\r\ntwo\r\n", "one\ntwo\n"),
    (b"10 %\r100 %\r\n", "100 %\n"),
    (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07plain", "red plain"),
    (b"\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
    (b"\x00\x07tab\there", "\ufffd\ufffdtab\there"),
    ("a\u202eb\u2066c".encode(), "a\ufffdb\ufffdc"),
    (b"\xff\xfe", "\ufffd\ufffd"),
    (b"<script>alert(1)</script>", "<script>alert(1)</script>"),
    (b"".join(b"%d\n" % number for number in range(300)), "".join(f"{number}\n" for number in range(100, 300))),
    (b"cut " * MOST_BYTES + b"\nwhole\n", "whole\n"),
    (b"x" * 2 * MOST_BYTES, "x" * MOST_BYTES),
]


@pytest.mark.parametrize(("content", "shown"), LINES, ids=range(len(LINES)))
def test_a_logs_end_is_what_a_terminal_shows_at_last(content: bytes, shown: str) -> None:
    assert last_lines(content) == shown


@given(st.binary(max_size=3000))
def test_of_whatever_is_printed_the_end_is_text_and_short(content: bytes) -> None:
    shown = last_lines(content)
    assert shown.rstrip("\n").count("\n") < MOST_LINES or content.count(b"\n\n")
    assert len(shown.split("\n")) <= MOST_LINES + 1
    assert not [sign for sign in shown if (sign < " " and sign not in "\n\t") or "\x7f" <= sign <= "\x9f"]


def test_places_are_by_age_within_a_namespaces_queue() -> None:
    every = [
        training("youngest", "Queued", queueName="gpus"),
        training("elsewhere", "Queued", queueName="gpus", metadata={"namespace": "team-b"}),
        training("of-another", "Queued", queueName="cpus"),
        training("begun", "Running", queueName="gpus"),
        training("suspended", "Suspended"),
        training("oldest", "Queued", queueName="gpus"),
    ]
    found = {name: (place.number, place.of) for (_, name), place in queues.places(every).items()}
    assert found == {"oldest": (1, 2), "youngest": (2, 2), "elsewhere": (1, 1), "of-another": (1, 1)}
    assert queues.place(every[3], every) is None


def test_the_newest_attempt_is_looked_at_and_of_workers_the_first() -> None:
    def tried(*pods: tuple[str, int | None]) -> TrainingRun:
        listed = [{"pod": pod, "uid": pod, "outcome": "Running", "worker": worker} for pod, worker in pods]
        return training(status={"attempts": listed})

    def looked_at(found: TrainingRun, pod: str | None = None) -> str | None:
        seen = attempt(found, pod)
        return seen.pod if seen else None

    assert looked_at(tried()) is None
    assert looked_at(tried(("a", None), ("b", None))) == "b"
    assert looked_at(tried(("a", None), ("b", None)), "a") == "a"
    assert looked_at(tried(("a", None)), "other") is None
    assert looked_at(tried(("first", 0), ("first-again", 0), ("second", 1))) == "first-again"
    assert looked_at(tried(("second", 1))) == "second"


POSSIBLE = [
    (training(), [Change.CANCEL], "patch"),
    (training(phase="Running"), [Change.CANCEL], "patch"),
    (training(phase="Queued", queueName="gpus"), [Change.CANCEL], "delete"),
    (training(phase="Running", metadata={"labels": {"runyard.dev/sweep": "grid"}}), [Change.CANCEL], "delete"),
    (training(phase="Suspended", suspend=True), [Change.RESUME, Change.RETRY], "patch"),
    (training(phase="Succeeded", status={"conditions": [ENDED]}), [Change.RETRY], "create"),
    (training(phase="Failed", status={"conditions": [{**ENDED, "status": "False"}]}), [Change.RETRY], "create"),
    (training(metadata={"deletionTimestamp": "2026-01-02T03:04:05Z"}), [], ""),
]


@pytest.mark.parametrize(("found", "expected", "verb"), POSSIBLE, ids=range(len(POSSIBLE)))
def test_what_can_be_done_follows_from_how_it_stands(found: TrainingRun, expected: list[Change], verb: str) -> None:
    assert changes.possible(found) == expected
    assert [changes.verb(found, change) for change in expected[:1]] == ([verb] if verb else [])
    assert all(changes.says(found, change) for change in expected)


def test_a_retry_is_of_the_same_spec_and_nothing_else() -> None:
    spec: dict[str, Any] = {"image": "x", "parameters": {"a": 1.0}, "env": [{"name": "A", "value": "$(params.a)"}]}
    labels = {"runyard.dev/sweep": "grid", "team": "a"}
    metadata = {"name": "grid-7", "namespace": "team-a", "labels": labels, "annotations": {"a": "b"}, "uid": "u"}
    body: Any = {"metadata": metadata, "spec": {**spec, "suspend": True}, "status": {"phase": "Failed"}}
    assert changes.retried(body) == {
        "apiVersion": "runyard.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {
            "generateName": "grid-7-retry-",
            "namespace": "team-a",
            "annotations": {"runyard.dev/retry-of": "grid-7"},
        },
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("name", "begins"),
    [("a-retry-x7k2p", "a-retry-"), ("a-retry-long", "a-retry-long-retry-"), ("a" * 63, f"{'a' * 40}-retry-")],
)
def test_a_retrys_retry_has_no_longer_name(name: str, begins: str) -> None:
    made: Any = changes.retried({"metadata": {"name": name, "namespace": "b"}, "spec": {}})
    assert made["metadata"]["generateName"] == begins


OWN = [
    ({"sec-fetch-site": "same-origin", "origin": "http://a:1", "host": "a:1"}, True),
    ({"sec-fetch-site": "same-origin", "host": "a:1"}, True),
    ({"origin": "https://a.example", "host": "a.example"}, True),
    ({"origin": "https://A.example", "host": "a.example"}, True),
    ({"sec-fetch-site": "same-site", "origin": "http://a:1", "host": "a:1"}, False),
    ({"sec-fetch-site": "cross-site", "host": "a:1"}, False),
    ({"sec-fetch-site": "none", "host": "a:1"}, False),
    ({"sec-fetch-site": "same-origin", "origin": "http://b:1", "host": "a:1"}, False),
    ({"origin": "http://a:2", "host": "a:1"}, False),
    ({"origin": "http://a:1.evil", "host": "a:1"}, False),
    ({"origin": "null", "host": "a:1"}, False),
    ({"host": "a:1"}, False),
    ({"origin": "null", "host": ""}, False),
]


@pytest.mark.parametrize(("headers", "own"), OWN, ids=range(len(OWN)))
def test_a_form_counts_if_the_browser_says_that_it_is_from_here(headers: dict[str, str], *, own: bool) -> None:
    assert forms.is_own(headers) is own


def test_what_was_read_is_read_again_when_it_is_old_and_the_least_asked_for_goes() -> None:
    kept: Kept[str, int] = Kept(at_most=2)
    reads: list[str] = []

    def ask(key: str, seconds: float = 60) -> int:
        def read(before: int | None) -> tuple[int, float]:
            reads.append(key)
            return (before or 0) + 1, seconds

        return kept.get(key, read)

    assert [ask("a"), ask("a")] == [1, 1]
    assert [ask("old", seconds=0), ask("old")] == [1, 2]
    ask("b")
    assert (ask("a"), reads) == (1, ["a", "old", "old", "b", "a"])


def test_who_asks_waits_for_nobody_who_reads() -> None:
    kept: Kept[str, int] = Kept()
    began, goes_on = threading.Event(), threading.Event()

    def slow(_: int | None) -> tuple[int, float]:
        began.set()
        assert goes_on.wait(30)
        return 1, 60

    waiting = threading.Thread(target=kept.get, args=("a", slow))
    waiting.start()
    assert began.wait(30)
    assert kept.get("a", lambda _: (2, 60)) == 2
    goes_on.set()
    waiting.join(30)
    assert kept.get("a", lambda _: (3, 60)) == 1


@given(st.text(max_size=40), st.integers(0, 10**9), st.integers(-(10**6), 10**6))
def test_when_somebody_began_to_choose_is_of_the_last_day_and_that_experiment(name: str, at: int, later: int) -> None:
    note = selection.noted(name, at)
    found = selection.began(note, name, at + later)
    assert (found is not None) is (0 <= later <= selection.LONGEST.total_seconds())
    assert selection.began(note, f"{name}x", at + later) is None
    assert selection.began(note[:-1], name, at) is None


@pytest.mark.parametrize(
    ("read", "is_cut", "says"),
    [
        (2, False, ""),
        (1_234, False, "The newest 2 of 1,234 TrainingRuns; kubectl has them all."),
        (10_000, True, "The newest 2 of the first 10,000 TrainingRuns, by namespace and name: there are more"),
    ],
)
def test_which_trainings_are_not_shown_is_told(read: int, is_cut: bool, says: str) -> None:  # noqa: FBT001
    stand = Stand((training("a"), training("b")), read, is_cut)
    assert stand.left_out.startswith(says)
    assert bool(stand.left_out) is bool(says)
