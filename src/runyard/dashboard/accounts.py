"""Who looks, and what they may: asked of the API server with their own token, and remembered for half a minute.

Tokens are not kept: what is remembered is found by a digest of the token, with a key that this process alone has.
"""

from __future__ import annotations

import hmac
import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeAlias

from runyard import rights
from runyard.cluster import ClusterUnavailable, Unknown
from runyard.dashboard.kept import Kept
from runyard.dashboard.reads import Reads
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runyard.cluster import Cluster

_SECONDS = 30.0
_PATIENCE_SECONDS = 5.0
_MOST_KNOWN = 1_000
# Threads of their own: an API server that hangs must not keep files and probes waiting, which need no account.
ASKED_AT_ONCE = 8
# Each that somebody has not asked for is a request; whoever reaches MLflow can write any.
MOST_NAMESPACES = 500
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}=*")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

# A verb, a namespace (empty: all), and the name of a TrainingRun (empty: any).
Right: TypeAlias = tuple[str, str, str]


class NotSignedIn(RunyardError):
    """Nobody says who looks, or the API server does not know the token."""

    exit_code = 2


@dataclass
class _Known:
    """What was found out of the bearer of a token.

    Attributes:
        name: as the API server has it.
        rights: what was asked so far, and whether they may.

    """

    name: str
    rights: dict[Right, bool] = field(default_factory=dict)


class Accounts:
    """The API server, as far as it says who looks and what they may."""

    def __init__(self, cluster: Cluster) -> None:
        """Begin with nobody known.

        Args:
            cluster: where to ask. Nothing is asked by the rights of its client.

        """
        self._cluster = cluster
        self._key = secrets.token_bytes(32)
        self._known: Kept[bytes, _Known] = Kept(_MOST_KNOWN)
        self._reads = Reads("the cluster", _PATIENCE_SECONDS, silence=ClusterUnavailable)

    def look(self, token: str) -> Looker:
        """Return the bearer of a token.

        Raises:
            NotSignedIn: the API server does not know it.
            ClusterUnavailable: it does not answer.

        """
        if not _TOKEN.fullmatch(token):
            raise NotSignedIn("this is no token")
        found = Looker(self, token)
        self.known(found)
        return found

    def opened(self, token: str) -> Cluster:
        """Return the cluster as the bearer of a token reaches it."""
        return self._cluster.bearing(token)

    def digest(self, token: str) -> bytes:
        """Return what is remembered in place of a token."""
        return hmac.digest(self._key, token.encode(), "sha256")

    def known(self, looker: Looker) -> _Known:
        """Return what is known of somebody, half a minute old at most."""

        def read(_: _Known | None) -> tuple[_Known, float]:
            with answering():
                name = self._reads.one(("who", looker.digest), lambda: rights.who(looker.cluster))
            return _Known(name), _SECONDS

        return self._known.get(looker.digest, read)

    def may(self, looker: Looker, wanted: Sequence[Right]) -> list[bool]:
        """Return of each right whether somebody has it."""
        known = self.known(looker)
        missing = [each for each in dict.fromkeys(wanted) if each not in known.rights]
        asked = [((looker.digest, *each), partial(rights.may, looker.cluster, *each)) for each in missing]
        with answering():
            known.rights.update(zip(missing, self._reads.all(asked), strict=True))
        return [known.rights[each] for each in wanted]

    def close(self) -> None:
        """Ask nothing more."""
        self._reads.close()


class Looker:
    """Somebody who looks, for the length of a request. Whatever is asked of them is half a minute old at most."""

    def __init__(self, accounts: Accounts, token: str) -> None:
        """Begin with a token; nothing is asked."""
        self._accounts = accounts
        self._token = token
        self.digest = accounts.digest(token)

    @cached_property
    def cluster(self) -> Cluster:
        """The cluster, by their rights."""
        return self._accounts.opened(self._token)

    @property
    def name(self) -> str:
        """Who they are, as the API server has it.

        Raises:
            NotSignedIn: the token is not known any more.
            ClusterUnavailable: the API server does not answer.

        """
        return self._accounts.known(self).name

    def may(self, verb: str, namespace: str, name: str = "") -> bool:
        """Whether they may do something with the TrainingRuns of a namespace; without one, with those of all.

        Raises:
            NotSignedIn: the token is not known any more.
            ClusterUnavailable: the API server does not answer.

        """
        return self._accounts.may(self, [(verb, namespace, name)])[0]

    def namespaces(self, among: Iterable[str]) -> frozenset[str] | None:
        """Return of which of some namespaces they may list TrainingRuns; None: of all that there are.

        Args:
            among: what may be names; of very many the first 500 are asked for, and the others are taken to be refused.

        Raises:
            NotSignedIn: the token is not known any more.
            ClusterUnavailable: the API server does not answer.

        """
        if self.may("list", ""):
            return None
        asked = [name for name in dict.fromkeys(among) if _NAMESPACE.fullmatch(name)][:MOST_NAMESPACES]
        allowed = self._accounts.may(self, [("list", name, "") for name in asked])
        return frozenset(name for name, is_allowed in zip(asked, allowed, strict=True) if is_allowed)

    def sees(self, namespace: str) -> bool:
        """Whether they may list the TrainingRuns of a namespace."""
        found = self.namespaces([namespace])
        return found is None or namespace in found


@contextmanager
def answering() -> Iterator[None]:
    """Say that a token is not known any more as what it is: nobody is signed in."""
    try:
        yield
    except Unknown as error:
        raise NotSignedIn("the cluster does not know this token: it is wrong, or has expired") from error
