"""Serves the dashboard with uvicorn."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import uvicorn

from runyard.dashboard.app import LOCAL_HOSTS, application
from runyard.errors import RunyardError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runyard.dashboard.site import Site

_GRACE_SECONDS = 3
_ANY = ("0.0.0.0", "::")  # noqa: S104 what is given, not what is listened at


class PortTaken(RunyardError):
    """It cannot listen where it should."""

    exit_code = 2


def serve(site: Site, host: str, port: int, base: str = "", allowed: Sequence[str] = ()) -> None:
    """Serve until the process is told to end.

    Args:
        site: what it looks at.
        host: the address to listen at.
        port: the port; 0: any that is free.
        base: the path below which it is.
        allowed: names, besides this machine's, under which it may be called.

    Raises:
        PortTaken: it cannot listen there.

    """
    named = [] if host in _ANY else [host]
    app = application(site, base, [*LOCAL_HOSTS, *named, *allowed])
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise PortTaken(f"cannot listen at {host}:{port}: {error.strerror}; give another --port") from error
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{listener.getsockname()[1]}{base}/", flush=True)  # noqa: T201 the one thing people want to know
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        # Longer than an ingress keeps a connection open: it would send a request into one that is just being closed.
        timeout_keep_alive=120,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        sys.exit(0)
