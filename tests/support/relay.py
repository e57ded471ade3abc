"""A connection between a client and a server that can be cut."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Relay:
    """Passes bytes on between those who connect and one server, until it is told to hang up."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def hang_up(self) -> int:
        """Cut every connection that there is; return how many. New ones are passed on as before."""
        ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(ends) // 2

    def close(self) -> None:
        """Listen no more."""
        if self._listener.fileno() >= 0:
            # Closing alone would let in one more, for whom the thread is waiting already.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.hang_up()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # it is closed
                return
            server = socket.create_connection(self._server)
            self._ends += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65536):
            target.sendall(content)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def relay_to(kubeconfig: Path, folder: Path) -> Iterator[tuple[Relay, Path]]:
    """Give a relay to a cluster's API server, and a kubeconfig that goes through it."""
    found = yaml.safe_load(kubeconfig.read_text())
    cluster = found["clusters"][0]["cluster"]
    address = urlsplit(cluster["server"])
    relay = Relay(str(address.hostname), address.port or 443)
    # The certificate is of the server's own name.
    cluster |= {"server": f"https://127.0.0.1:{relay.port}", "tls-server-name": address.hostname}
    through = folder / "kubeconfig-of-relay"
    through.write_text(json.dumps(found))
    try:
        yield relay, through
    finally:
        relay.close()
