"""Workers that meet: the first listens, and each of the others goes to MASTER_ADDR and says who it is.

It fails where they do not: a name takes a moment to be known, and a pod to begin.
"""

import os
import socket
import time

PATIENCE_SECONDS = 120
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
deadline = time.monotonic() + PATIENCE_SECONDS


def meet_all() -> None:
    """Wait for everybody else."""
    met: set[int] = set()
    with socket.create_server(("", port)) as server:
        while len(met) < size - 1:
            server.settimeout(max(deadline - time.monotonic(), 0.001))
            connection, _ = server.accept()
            with connection, connection.makefile("rw") as stream:
                met.add(int(stream.readline()))
                stream.write(f"{size}\n")
    print("met", ", ".join(map(str, sorted(met))))


def go_there() -> None:
    """Say who this is to the first worker, and hear how many it knows of."""
    while True:
        try:
            with (
                socket.create_connection((address, port), timeout=5) as connection,
                connection.makefile("rw") as stream,
            ):
                stream.write(f"{rank}\n")
                stream.flush()
                print(f"worker {rank} of {int(stream.readline())} was met")
                return
        except (OSError, ValueError):  # a line that is empty is of a connection that broke
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


if rank:
    go_there()
else:
    meet_all()
