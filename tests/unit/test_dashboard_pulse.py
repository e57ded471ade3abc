"""Whether MLflow answers: asked in the background while somebody looks, so that nobody waits who need not."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from runyard.dashboard import pulse
from runyard.dashboard.pulse import Pulse
from runyard.errors import TrackingUnavailable
from tests.support.waiting import wait_for

NAMES = {"1": "heart"}


class Server:
    """Answers, or waits until its patience is over, or breaks."""

    def __init__(self) -> None:
        self.asked = 0
        self.says: Callable[[], Mapping[str, str]] = lambda: NAMES
        self.over = threading.Event()

    def __call__(self) -> Mapping[str, str]:
        self.asked += 1
        return self.says()

    def silent(self) -> Mapping[str, str]:
        self.over.wait(0.3)
        raise TrackingUnavailable("it has not answered for 0.3 s")

    def broken(self) -> Mapping[str, str]:
        raise ZeroDivisionError


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def looked_at(server: Server) -> Iterator[Pulse]:
    found = Pulse(server, 0.3)
    yield found
    server.over.set()
    found.close()


def test_nothing_is_asked_before_somebody_looks_and_then_at_once(server: Server, looked_at: Pulse) -> None:
    assert server.asked == 0
    assert looked_at.get() == (NAMES, "")
    assert server.asked == 1


def test_many_who_look_at_once_are_told_by_one_question(server: Server, looked_at: Pulse) -> None:
    found: list[object] = []
    people = [threading.Thread(target=lambda: found.append(looked_at.get())) for _ in range(20)]
    for person in people:
        person.start()
    for person in people:
        person.join(30)
    assert found == [(NAMES, "")] * 20
    assert server.asked < 5


def test_a_silence_is_found_while_nobody_waits_and_then_told_at_once(server: Server, looked_at: Pulse) -> None:
    looked_at.get()
    server.says = server.silent
    names, problem = wait_for("it is told", lambda: found if (found := looked_at.get())[1] else None)
    assert (names, problem) == (NAMES, "it has not answered for 0.3 s")
    took = []
    for _ in range(20):
        began = time.monotonic()
        assert looked_at.get()[1]
        took.append(time.monotonic() - began)
    # Each question takes 0.3 s: none of them is waited for.
    assert sorted(took)[10] < 0.1
    server.says = lambda: {"2": "wine"}
    wait_for("it is back", lambda: looked_at.get() == ({"2": "wine"}, ""))


def test_whatever_goes_wrong_is_told_and_passes(server: Server, looked_at: Pulse) -> None:
    server.says = server.broken
    assert looked_at.get() == (None, "the experiments could not be read: ZeroDivisionError")
    server.says = lambda: NAMES
    wait_for("it is back", lambda: looked_at.get() == (NAMES, ""))


def test_who_comes_after_a_while_is_told_what_is_so_now(
    server: Server, looked_at: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_LOOKED_AT_SECONDS", 0.2)
    server.says = server.broken
    assert looked_at.get()[1]
    asked = server.asked
    began = time.monotonic()
    wait_for("everybody is gone for long", lambda: time.monotonic() - began > 2)
    # While nobody looks it rests.
    assert server.asked <= asked + 1
    server.says = lambda: NAMES
    assert looked_at.get() == (NAMES, "")
