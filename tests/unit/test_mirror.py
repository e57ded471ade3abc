"""What the mirror knows of a resource."""

from runyard_operator.mirror import Key, Mirror
from tests.support.factories import job

KEY = Key("team", "wine", "uid-of-wine")


def test_a_resource_is_known_once_it_was_seen_itself() -> None:
    mirror = Mirror()
    assert mirror.see_job(KEY, job())
    assert not mirror.knows(KEY)
    mirror.see_resource(KEY, {"metadata": {"resourceVersion": "7"}})
    assert mirror.knows(KEY)


def test_a_resource_that_has_gone_is_known() -> None:
    mirror = Mirror()
    assert mirror.see_departure(KEY, {})
    assert mirror.knows(KEY)
    mirror.forget(KEY)
    assert not mirror.knows(KEY)
