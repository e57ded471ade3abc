"""Log records, one a line, each about a resource with its key in a place of its own."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum

# Inherited by tasks: what is started while a resource is worked on speaks of that resource.
_about: ContextVar[str] = ContextVar("about", default="")

# They tell of every event and of every probe.
_CHATTY = ("kopf", "aiohttp.access")


class Format(StrEnum):
    """How a record is written."""

    TEXT = "text"
    JSON = "json"


@contextmanager
def about(namespace: str, name: str) -> Iterator[None]:
    """Say of each record which resource it is about."""
    token = _about.set(f"{namespace}/{name}")
    try:
        yield
    finally:
        _about.reset(token)


def configure(chosen: Format) -> None:
    """Write all records of the process to its output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_name_resource)
    handler.setFormatter(JsonFormatter() if chosen is Format.JSON else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _name_resource(record: logging.LogRecord) -> bool:
    found = getattr(record, "k8s_ref", None)  # kopf's
    record.resource = f"{found.get('namespace')}/{found.get('name')}" if isinstance(found, dict) else _about.get()
    return True


class TextFormatter(logging.Formatter):
    """Time, level, resource (or a dash), logger and message, as a person reads them; a traceback follows."""

    def __init__(self) -> None:
        super().__init__("%(time)s %(levelname)s %(key)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        record.time, record.key = _time(record), getattr(record, "resource", "") or "-"
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a record, its traceback inside."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        told = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "resource": getattr(record, "resource", ""),
            "traceback": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return json.dumps({key: value for key, value in told.items() if value}, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
