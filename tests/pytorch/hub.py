"""A hub of models on this machine: the files of a folder, under one model's name and one commit."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tests.support.web import QuietHandler, serving


@dataclass(frozen=True)
class Hub:
    """Where it is, the folder it serves, and every path that was asked for."""

    address: str
    folder: Path
    asked: list[str]


@contextmanager
def hub(folder: Path, model: str, commit: str) -> Iterator[Hub]:
    """Serve a model as the hub does: each file at `MODEL/resolve/COMMIT/FILE`, with its digest and its commit."""
    asked: list[str] = []
    root = f"/{model}/resolve/{commit}/"

    class Handler(QuietHandler):
        def do_HEAD(self) -> None:  # noqa: N802
            self._answer()

        def do_GET(self) -> None:  # noqa: N802
            self.wfile.write(self._answer())

        def _answer(self) -> bytes:
            path = unquote(self.path.partition("?")[0])
            asked.append(path)
            file = folder / path.removeprefix(root)
            is_there = path.startswith(root) and file.is_file()
            content = file.read_bytes() if is_there else b""
            self.send_response(200 if is_there else 404)
            if is_there:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", commit)
            else:
                self.send_header("X-Error-Code", "EntryNotFound" if f"/{model}/" in path else "RepoNotFound")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            return content

    with serving(Handler) as address:
        yield Hub(address, folder, asked)
