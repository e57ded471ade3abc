"""Git repositories, and git's own server for them over HTTP."""

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.web import LOOPBACK, QuietHandler, serving

_NOBODYS = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
_PERSON = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org"}
_SAME_PERSON = {name.replace("AUTHOR", "COMMITTER"): value for name, value in _PERSON.items()}


@dataclass(frozen=True)
class Repository:
    """A repository with a work tree, which can be cloned."""

    folder: Path

    def git(self, *words: str) -> str:
        """Run git in it."""
        environment = {**os.environ, **_NOBODYS, **_PERSON, **_SAME_PERSON}
        command = ["git", "-C", str(self.folder), *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, **files: str) -> str:
        """Commit files, named with __ for a slash and without their suffix .py; return the commit."""
        for name, text in files.items():
            file = self.folder / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD")


def new_repository(folder: Path) -> Repository:
    """Make an empty repository with the branch main."""
    folder.mkdir(parents=True)
    found = Repository(folder)
    found.git("init", "--quiet", "--initial-branch=main")
    return found


@contextmanager
def git_server(root: Path, password: str | None = None, at: tuple[str, int] = LOOPBACK) -> Iterator[str]:
    """Serve the repositories below a folder with git http-backend, to the user `reader` if there is a password."""
    wanted = None if password is None else f"Basic {base64.b64encode(f'reader:{password}'.encode()).decode()}"

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 the name that the server looks for
            if wanted and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            variables = {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            environment = {**os.environ, **_NOBODYS, **variables}
            answer = subprocess.run(
                ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
            ).stdout
            head, _, content = answer.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 likewise

    with serving(Handler, at) as address:
        yield address
