"""Which watches are silent, which are waited for, and which may not be read."""

import logging
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import pytest

from runyard_operator.liveness import Watches
from runyard_operator.requests import ApiCall

LIMIT_SECONDS = 180


@dataclass
class Content:
    total_bytes: int = 0

    def is_eof(self) -> bool:
        return True


@dataclass
class Answer:
    status: int = 200
    content: Content = field(default_factory=Content)


class Watched:
    """Watches of pods in two namespaces, and a clock that is set by hand."""

    def __init__(self, *namespaces: str) -> None:
        self.now = 0.0
        self.watches = Watches(["pods"], namespaces, lambda: self.now)

    def answer(self, namespace: str, status: int = 200, verb: str = "watch") -> None:
        answer = cast("aiohttp.ClientResponse", cast("Any", Answer(status)))
        self.watches.answered(ApiCall(verb, "pods", namespace), answer)


def test_a_namespace_that_may_not_be_read_is_neither_silent_nor_waited_for() -> None:
    found = Watched("a", "b")
    assert found.watches.unlisted() == [
        "pods in namespace a are not listed yet",
        "pods in namespace b are not listed yet",
    ]
    found.answer("a")
    found.answer("b", 403, "list")
    assert found.watches.unlisted() == []
    assert found.watches.refused == ["pods in namespace b"]
    for _ in range(10):
        found.now += 100
        found.answer("a")
        found.answer("b", 403, "list")
        assert found.watches.silent(LIMIT_SECONDS) == []


def test_one_that_is_no_longer_asked_for_is_silent() -> None:
    found = Watched("a", "b")
    found.answer("b", 403, "list")
    found.now = 181
    assert [said.partition(" has ")[0] for said in found.watches.silent(LIMIT_SECONDS)] == [
        "the watch of pods in namespace a",
        "the watch of pods in namespace b",
    ]


@pytest.mark.parametrize("namespaces", [(), ("a",), ("a", "b")])
def test_an_operator_that_may_read_nothing_is_not_ready(namespaces: tuple[str, ...]) -> None:
    found = Watched(*namespaces)
    for namespace in namespaces or ("",):
        found.answer(namespace)
    assert found.watches.unlisted() == []
    for namespace in namespaces or ("",):
        found.answer(namespace, 403)
    assert found.watches.unlisted() == [f"{what} may not be read" for what in found.watches.refused] != []


def test_it_is_said_once_and_again_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    found = Watched("a", "b")
    with caplog.at_level(logging.INFO):
        for status in (200, 403, 403, 403, 200, 200):
            found.answer("b", status, "list")
    assert [record.getMessage() for record in caplog.records] == [
        "pods in namespace b may not be read (403): left alone until they may",
        "pods in namespace b may be read again",
    ]
    assert found.watches.refused == []
