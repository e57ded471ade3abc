"""What a log record looks like."""

import json
import logging
from collections.abc import Iterator

import pytest

from runyard_operator import logs

log = logging.getLogger("a.logger")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def fail() -> None:
    raise ValueError("what went\nwrong")


def tell() -> None:
    with logs.about("team", "wine"):
        log.info("a Job was %s", "created")
        try:
            fail()
        except ValueError:
            log.exception("no luck")
    log.warning("nothing in particular")


def test_json_is_an_object_a_line_also_with_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Format.JSON)
    tell()
    first, second, third = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "a.logger",
        "message": "a Job was created",
        "resource": "team/wine",
    }
    assert (second["level"], second["resource"]) == ("error", "team/wine")
    assert second["traceback"].startswith("Traceback (most recent call last)")
    assert second["traceback"].endswith("ValueError: what went\nwrong")
    assert "resource" not in third


def test_text_has_the_resource_in_a_place_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Format.TEXT)
    tell()
    lines = [line.split(" ", 4) for line in capsys.readouterr().out.splitlines() if line.startswith("20")]
    assert [line[1:] for line in lines] == [
        ["INFO", "team/wine", "a.logger:", "a Job was created"],
        ["ERROR", "team/wine", "a.logger:", "no luck"],
        ["WARNING", "-", "a.logger:", "nothing in particular"],
    ]
    assert lines[0][0].endswith("Z")


def test_what_kopf_says_of_an_object_carries_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logs.Format.JSON)
    reference = {"namespace": "team", "name": "pod-1"}
    logging.getLogger("kopf.objects").warning("hm", extra={"k8s_ref": reference})
    logging.getLogger("kopf.objects").info("too much")
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["resource"] == "team/pod-1"
