"""A namespace that may not be read takes the operator from none of the others, and is taken up again by itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.operator.actors import Actors
from tests.operator.operations.process import Operator, Operators
from tests.support.apiserver import free_port
from tests.support.waiting import wait_for

_RBAC = "rbac.authorization.k8s.io"
_KINDS = ("trainingruns", "trainingsweeps", "jobs", "pods")
# How often kopf asks, unless told otherwise, before it gives a list up for good.
_TRIES = 9


class Account:
    """The operator's account, with its rights in two namespaces: those of `lost` can be taken away."""

    def __init__(self, kept: Actors, home: Path) -> None:
        self.kept, self.lost, self._home = kept, Actors(kept.server, f"{kept.namespace}-lost"), home
        assert kept.server.kubectl("create", "namespace", self.lost.namespace).returncode == 0
        kept.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator"}})
        for place in (self.kept, self.lost):
            rule = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
            place.create(_object("Role", rules=[rule]))
        self.may_read(self.kept)
        self.may_read(self.lost)

    def may_read(self, place: Actors) -> None:
        subject = {"kind": "ServiceAccount", "name": "operator", "namespace": self.kept.namespace}
        role = {"apiGroup": _RBAC, "kind": "Role", "name": "operator"}
        place.create(_object("RoleBinding", subjects=[subject], roleRef=role))

    def may_not_read(self, place: Actors) -> None:
        """Take the rights away, which is what becomes of them with their namespace."""
        place.delete("rolebinding", "operator")

    @property
    def kubeconfig(self) -> str:
        server = self.kept.server
        token = server.kubectl("create", "token", "operator", "--namespace", self.kept.namespace)
        assert token.returncode == 0, token.stderr
        found = json.loads(server.kubeconfig.read_text())
        found["users"][0]["user"]["token"] = token.stdout.strip()
        file = self._home / "kubeconfig-of-the-account"
        file.write_text(json.dumps(found))
        return str(file)


def _object(kind: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": {"name": "operator"}, **more}


@pytest.fixture
def account(actors: Actors, tmp_path: Path) -> Account:
    return Account(actors, tmp_path)


@pytest.fixture
def watching_both(account: Account, tmp_path: Path) -> Operators:
    """Operators of both namespaces, without an MLflow: nothing here is trained."""
    return Operators(
        tmp_path,
        {
            "KUBECONFIG": account.kubeconfig,
            "RUNYARD_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
            "RUNYARD_NAMESPACES": f"{account.kept.namespace},{account.lost.namespace}",
            "RUNYARD_LEASE_NAMESPACE": account.kept.namespace,
            "RUNYARD_WATCH_SILENCE_SECONDS": "6",
        },
    )


def assert_it_works_on(operator: Operator, account: Account) -> None:
    """Assert that the other namespace has its operator, for longer than kopf would try, and silence is borne."""
    wait_for("it is noticed", lambda: operator.metric("runyard_refused_watches") == len(_KINDS))
    before = operator.metric("runyard_api_requests_total", code="403")

    def goes_on() -> bool:
        assert operator.ask("/healthz") == (200, "ok\n")
        assert operator.ask("/readyz")[0] == 200
        return operator.metric("runyard_api_requests_total", code="403") - before > _TRIES * len(_KINDS)

    wait_for("it was refused more often than kopf would try", goes_on, 120, poll_seconds=0.5)
    account.kept.apply("kept")
    account.kept.wait_for_job("kept")
    for kind in _KINDS:
        assert operator.text.count(f"{kind} in namespace {account.lost.namespace} may not be read (403)") == 1


def assert_it_comes_back(operator: Operator, account: Account) -> None:
    account.lost.apply("lost")
    account.may_read(account.lost)
    account.lost.wait_for_job("lost")
    wait_for("all is read again", lambda: operator.metric("runyard_refused_watches") == 0)
    assert operator.process.poll() is None, "it is the same process"
    for kind in _KINDS:
        assert operator.text.count(f"{kind} in namespace {account.lost.namespace} may be read again") == 1


def test_a_namespace_that_is_lost_takes_none_of_the_others_away(account: Account, watching_both: Operators) -> None:
    with watching_both.start("first") as operator:
        operator.wait_until_leading(90)
        account.may_not_read(account.lost)
        assert_it_works_on(operator, account)
        assert_it_comes_back(operator, account)


def test_a_namespace_that_may_not_be_read_from_the_beginning(account: Account, watching_both: Operators) -> None:
    account.may_not_read(account.lost)
    with watching_both.start("first") as operator:
        operator.wait_until_leading(90)
        assert_it_works_on(operator, account)
        assert_it_comes_back(operator, account)
