"""Writing down what is so of a resource: small changes together, and nothing over what somebody else wrote since."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

from runyard.api.model import JsonObject, Model
from runyard_operator.cluster import Cluster, ClusterError, Resource
from runyard_operator.events import Event

log = logging.getLogger(__name__)

NO_WAIT = timedelta(0)
# Small changes of a status, such as a pod's node, wait this long for the next, so that both are one write.
SMALL_CHANGE_WAITS = timedelta(seconds=2)
# That a pod waits, and nobody says for what: most run a few seconds later.
WAITING_POD_WAITS = timedelta(seconds=8)


class Seen(Protocol):
    """What is remembered of a resource between two looks.

    Attributes:
        is_in_doubt: whether it is to be read before anything is decided.
        small_change_since: since when a small change waits to be written; None: none does.

    """

    is_in_doubt: bool
    small_change_since: datetime | None


async def write_status(
    cluster: Cluster, resource: Resource, seen: Seen, status: Model, now: datetime, waits: timedelta
) -> JsonObject | timedelta | None:
    """Write a status that says something new, at once or when it has waited for more.

    Returns:
        The resource as it is now; how long a small change has still to wait, or zero where the resource is to be read
        first, since somebody else has changed or deleted it; None where there is nothing new.

    Raises:
        ClusterError: the API server refused it, or does not say whether it was written.

    """
    if status == resource.status:
        seen.small_change_since = None
        return None
    if waits:
        seen.small_change_since = seen.small_change_since or now
        left = seen.small_change_since + waits - now
        if left > timedelta(0):
            return left
    seen.small_change_since = None
    try:
        written = await cluster.patch_status(resource, status)
    except ClusterError as error:
        # It may have been written all the same.
        seen.is_in_doubt = True
        if error.status != HTTPStatus.CONFLICT:
            raise
        return timedelta(0)
    if written is None:
        # Gone, and the event of that may be lost: nothing more is to be made for it.
        seen.is_in_doubt = True
        return timedelta(0)
    return written


async def record_events(cluster: Cluster, resource: Resource, happened: Iterable[Event], now: datetime) -> None:
    """Write events; one that cannot be written is left out."""
    for event in happened:
        try:
            await cluster.record_event(resource, event, now)
        except ClusterError as error:
            # An event is a courtesy; the status is the record.
            log.warning("no event: %s", error)
