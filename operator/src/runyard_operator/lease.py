"""Which of several operators works: the one that holds a Lease.

Clocks of different machines are never compared. As in client-go, a Lease has expired when it has not changed for as
long as it says that it holds, by the clock of the one who looks.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from runyard.api.model import JsonObject, as_object
from runyard_operator.cluster import Cluster, ClusterError

log = logging.getLogger(__name__)

# Parts of a Lease's length: how often its holder renews it and others look at it, how long one try may take, and after
# how long without a renewal its holder gives up, well before anybody else may take it.
_RENEWALS, _LOOKS, _LONGEST_TRY, _GIVE_UP = 7.5, 15, 1 / 3, 2 / 3
_RELEASED_SECONDS = 1
# The last thing that a process does, in a grace period that its work may have used up.
_RELEASE_SECONDS = 3


class LeaseLost(Exception):
    """This process does not hold the Lease any more, and must do nothing more."""


class Lease(BaseModel):
    """What a Lease says: coordination.k8s.io/v1 LeaseSpec."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    holder: str = Field("", alias="holderIdentity")
    seconds: int = Field(0, alias="leaseDurationSeconds")
    acquired_at: datetime | None = Field(None, alias="acquireTime")
    renewed_at: datetime | None = Field(None, alias="renewTime")
    transitions: int = Field(0, alias="leaseTransitions")


class Step(StrEnum):
    """What to do about a Lease."""

    CREATE = "create"
    RENEW = "renew"
    TAKE = "take"
    WAIT = "wait"


def decide(found: Lease | None, me: str, unchanged_for: timedelta) -> Step:
    """Return what to do, given what is there and for how long it has been so before this process's eyes."""
    if found is None:
        return Step.CREATE
    if found.holder == me:
        return Step.RENEW
    if not found.holder or unchanged_for >= timedelta(seconds=found.seconds):
        return Step.TAKE
    return Step.WAIT


def held(found: Lease | None, me: str, seconds: int, now: datetime) -> Lease:
    """Return what the Lease is to say when this process holds it, given what it says now."""
    before = found or Lease()
    is_mine = before.holder == me
    return Lease(
        holder=me,
        seconds=seconds,
        acquired_at=before.acquired_at if is_mine else now,
        renewed_at=now,
        transitions=before.transitions + (0 if is_mine or found is None else 1),
    )


def released(found: Lease, now: datetime, *, is_all_done: bool) -> Lease:
    """Return what the Lease is to say when its holder goes: anybody may take it at once.

    Its length says whether anything is left that may still come of what the holder had in work.
    """
    seconds = _RELEASED_SECONDS if is_all_done else found.seconds
    return found.model_copy(update={"holder": "", "seconds": seconds, "renewed_at": now})


def is_handed_over(found: Lease | None) -> bool:
    """Whether nobody has left anything in work: there was no holder, or it released the Lease when all was done.

    One that was killed has not, though its container, started again, is the holder by its name.
    """
    return found is None or (not found.holder and found.seconds <= _RELEASED_SECONDS)


@dataclass
class Elector:
    """One candidate for a Lease. Times are of the monotonic clock, in seconds."""

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    seconds: int
    _found: Lease | None = None
    _version: str = ""
    _uid: str = ""
    _changed_at: float = 0.0
    _is_known: bool = False
    _waited_at: float | None = None
    _renewed_at: float | None = None
    _leads_since: float | None = None
    _is_handed_over: bool = False
    _trouble: str = ""

    @property
    def is_leading(self) -> bool:
        """Whether nobody else can hold the Lease just now."""
        return self._renewed_at is not None and time.monotonic() < self._renewed_at + self.seconds

    def has_led_for(self, seconds: float) -> bool:
        """Whether nobody else can have held the Lease for that long."""
        return self.is_leading and self._leads_since is not None and time.monotonic() >= self._leads_since + seconds

    def late_for(self, longest: timedelta) -> timedelta:
        """Return for how long a request of an earlier holder may still come, none being on its way for longer."""
        if self._is_handed_over:
            return timedelta(0)
        led_for = 0.0 if self._leads_since is None else time.monotonic() - self._leads_since
        return max(longest - timedelta(seconds=led_for), timedelta(0))

    @property
    def installation(self) -> str:
        """The Lease's UID, which tells this operator and its successors from any other, in any cluster."""
        return self._uid

    @property
    def is_standing_by(self) -> bool:
        """Whether somebody else held the Lease when it was last looked at, which is not long ago."""
        return self._waited_at is not None and time.monotonic() < self._waited_at + self.seconds

    def require(self) -> None:
        """Refuse what only the holder may do: a process that was frozen for a while wakes up without the Lease.

        Raises:
            LeaseLost: it is not held.

        """
        if not self.is_leading:
            raise LeaseLost(f"{self.identity} does not hold the Lease {self.namespace}/{self.name}")

    async def acquire(self) -> None:
        """Wait until this process holds the Lease."""
        told = ""
        while not await self._try():
            if self._found and self._found.holder != told:
                told = self._found.holder
                log.info("standing by: %s holds the Lease %s/%s", told, self.namespace, self.name)
            await asyncio.sleep(self.seconds / _LOOKS)
        log.info("leading: %s holds the Lease %s/%s", self.identity, self.namespace, self.name)

    async def keep(self) -> None:
        """Renew the Lease for ever.

        Raises:
            LeaseLost: somebody else holds it, or it could not be renewed in time.

        """
        while True:
            await asyncio.sleep(self.seconds / _RENEWALS)
            # A change by somebody else is looked at once, and what it leaves of ours is renewed.
            if await self._try() or await self._try():
                continue
            if self._found and self._found.holder != self.identity and self._is_known:
                raise LeaseLost(f"{self._found.holder or 'nobody'} holds the Lease {self.namespace}/{self.name} now")
            silent_for = time.monotonic() - (self._renewed_at or 0)
            if silent_for >= self.seconds * _GIVE_UP:
                raise LeaseLost(
                    f"the Lease {self.namespace}/{self.name} could not be renewed for {silent_for:.0f} s of its "
                    f"{self.seconds} s"
                )

    async def release(self, *, is_all_done: bool) -> None:
        """Give the Lease back, so that a successor need not wait for its end."""
        if not self.is_leading:
            return
        self._renewed_at = None
        try:
            async with asyncio.timeout(min(self.seconds * _LONGEST_TRY, _RELEASE_SECONDS)):
                # A renewal that was under way may have been written or not.
                while True:
                    self._see(await self.cluster.lease(self.namespace, self.name))
                    if self._found is None or self._found.holder != self.identity:
                        return
                    if await self._write(released(self._found, datetime.now(UTC), is_all_done=is_all_done)):
                        break
        except (ClusterError, aiohttp.ClientError, TimeoutError) as error:
            log.warning("the Lease could not be released: %s", str(error) or type(error).__name__)
        else:
            log.info("the Lease %s/%s is released", self.namespace, self.name)

    async def _try(self) -> bool:
        """Go round once; return whether the Lease is held afterwards."""
        try:
            async with asyncio.timeout(self.seconds * _LONGEST_TRY):
                is_held = await self._round()
        except (ClusterError, aiohttp.ClientError, TimeoutError) as error:
            self._is_known = False
            trouble = str(error) or type(error).__name__
            if trouble != self._trouble:  # and not once a second for as long as it lasts
                log.warning("no word of the Lease: %s", trouble)
            self._trouble = trouble
            return False
        self._trouble = ""
        return is_held

    async def _round(self) -> bool:
        began = time.monotonic()
        # What this process wrote last is what is there, until the API server says that it is not.
        if not (self._is_known and self.is_leading):
            self._see(await self.cluster.lease(self.namespace, self.name))
        step = decide(self._found, self.identity, timedelta(seconds=time.monotonic() - self._changed_at))
        self._waited_at = time.monotonic() if step is Step.WAIT else None
        if step is Step.WAIT:
            return False
        before = self._found
        if not await self._write(held(before, self.identity, self.seconds, datetime.now(UTC))):
            return False
        # From before it was written: others begin to count when they see it, which is later.
        if not self.is_leading:
            self._leads_since, self._is_handed_over = time.monotonic(), is_handed_over(before)
        self._renewed_at = began
        return True

    async def _write(self, lease: Lease) -> bool:
        metadata: JsonObject = {"name": self.name, "namespace": self.namespace}
        if self._version:
            metadata["resourceVersion"] = self._version
        spec: JsonObject = {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": lease.seconds,
            "acquireTime": _micro_time(lease.acquired_at),
            "renewTime": _micro_time(lease.renewed_at),
            "leaseTransitions": lease.transitions,
        }
        body: JsonObject = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        written = await self.cluster.write_lease(self.namespace, self.name, body, is_new=not self._version)
        if written is None:
            self._is_known = False  # somebody was quicker
            return False
        self._see(written)
        return True

    def _see(self, body: JsonObject | None) -> None:
        found = Lease.model_validate(as_object(body.get("spec"))) if body else None
        if found != self._found or not self._changed_at:
            self._changed_at = time.monotonic()
        self._found, self._is_known = found, True
        metadata = as_object(body.get("metadata")) if body else {}
        self._version, self._uid = str(metadata.get("resourceVersion", "")), str(metadata.get("uid", ""))


def _micro_time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None
