"""Code from real git repositories, over git's own server."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from runyard.api.source import ResolvedSource, Source
from runyard.prepare.failures import Unprepared
from runyard.prepare.git import fetch
from tests.support.apiserver import free_port
from tests.support.repositories import Repository, git_server, new_repository
from tests.support.web import QuietHandler, serving

PASSWORD = "let me $(in)"  # noqa: S105 the test's own


@dataclass(frozen=True)
class Scene:
    """A repository that is served, and somebody with nothing configured who fetches from it."""

    repository: Repository
    server: str
    home: Path

    @property
    def address(self) -> str:
        return f"{self.server}/wine"

    @property
    def there(self) -> Repository:
        """What was fetched."""
        return Repository(self.home / "there")

    def fetch(
        self,
        address: str = "",
        *,
        credentials: Path | None = None,
        variables: dict[str, str] | None = None,
        **source: Any,
    ) -> ResolvedSource:
        """Fetch into a folder that is not there yet."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_CONFIG_NOSYSTEM": "1"}
        wanted = Source.model_validate({"git": address or self.address, **source})
        return fetch(wanted, self.there.folder, credentials, environment | (variables or {}))

    def refused(self, address: str = "", *, credentials: Path | None = None, **source: Any) -> Unprepared:
        """Fetch what cannot be had."""
        with pytest.raises(Unprepared) as error:
            self.fetch(address, credentials=credentials, **source)
        assert error.value.reason == "SourceUnavailable"
        return error.value

    def text(self) -> str:
        return (self.there.folder / "train.py").read_text()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a branch `main` of three commits, a branch `other/line` and a tag on the first."""
    found = new_repository(tmp_path / "served" / "wine")
    found.commit(train="first", deep__train="first")
    found.git("tag", "-a", "v1", "-m", "one")
    found.git("branch", "other/line")
    found.commit(train="between")
    found.commit(train="second")
    return found


@pytest.fixture
def scene(repository: Repository, tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "home").mkdir()
    with git_server(repository.folder.parent) as address:
        yield Scene(repository, address, tmp_path / "home")


@pytest.fixture
def private(repository: Repository, tmp_path: Path) -> Iterator[Scene]:
    """The same behind a password."""
    (tmp_path / "home").mkdir()
    with git_server(repository.folder.parent, PASSWORD) as address:
        yield Scene(repository, address, tmp_path / "home")


@pytest.mark.parametrize(
    ("source", "commit", "branch", "text"),
    [
        pytest.param({}, "main", "main", "second", id="the default branch"),
        pytest.param({"revision": "main"}, "main", "main", "second", id="a branch"),
        pytest.param({"revision": "other/line"}, "v1^{commit}", "other/line", "first", id="a branch with a slash"),
        pytest.param({"revision": "v1"}, "v1^{commit}", None, "first", id="a tag with a message"),
        pytest.param({"revision": "refs/heads/other/line"}, "other/line", "other/line", "first", id="a full name"),
    ],
)
def test_a_revision_is_checked_out(
    scene: Scene, source: dict[str, Any], commit: str, branch: str | None, text: str
) -> None:
    found = scene.fetch(**source)
    assert found == ResolvedSource(git=scene.address, commit=scene.repository.git("rev-parse", commit), branch=branch)
    assert scene.text() == text
    assert scene.there.git("rev-parse", "HEAD") == found.commit
    assert scene.there.git("status", "--porcelain") == ""
    assert scene.there.git("rev-list", "--count", "HEAD") == "1", "no more than the one commit is fetched"
    assert scene.there.git("rev-parse", "--abbrev-ref", "HEAD") == (branch or "HEAD")


@pytest.mark.parametrize("length", [40, 10])
@pytest.mark.parametrize("protocol", ["0", "2"])
def test_a_commit_is_found_by_its_name_or_a_part_of_it(
    scene: Scene, length: int, protocol: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A server gives out no single commit by the protocol's first version."""
    settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.version", "GIT_CONFIG_VALUE_0": protocol}
    commit = scene.repository.git("rev-parse", "main~1")
    assert scene.fetch(revision=commit[:length], variables=settings).commit == commit
    assert scene.text() == "between"
    is_alone = length == 40 and protocol == "2"
    assert scene.there.git("rev-list", "--count", "HEAD") == ("1" if is_alone else "2")
    assert ("fetching all" in capfd.readouterr().err) is (length == 40 and not is_alone)


def test_a_repository_on_a_volume_is_fetched_whoever_it_belongs_to(scene: Scene) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "12345:12345", str(scene.repository.folder)], check=True)
    assert scene.fetch(f"file://{scene.repository.folder}").branch == "main"
    assert scene.text() == "second"


def test_a_default_branch_that_could_be_an_option_is_none(scene: Scene) -> None:
    """Of what HEAD is called the server says what it likes."""
    named = b"symref-target:"

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802 the name that the server looks for
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept = {name: value for name, value in self.headers.items() if name in {"Content-Type", "Git-Protocol"}}
            request = Request(scene.server + self.path, body or None, kept, method=self.command)  # noqa: S310 our own
            with urlopen(request) as answer:  # noqa: S310 likewise
                # As long as the name that was there, since a line begins with its length.
                content = answer.read().replace(named + b"refs/heads/main", named + b"--no-such-thing")
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 likewise

    with serving(Handler) as server:
        told = Repository(scene.repository.folder).git("ls-remote", "--symref", f"{server}/wine", "HEAD")
        found = scene.fetch(f"{server}/wine")
    assert told.startswith("ref: --no-such-thing"), "git itself does not mind"
    assert (found.commit, found.branch) == (scene.repository.git("rev-parse", "main"), None)
    assert scene.text() == "second"
    assert scene.there.git("rev-list", "--count", "HEAD") == "1", "git did not stumble over an option"


@pytest.mark.parametrize(
    ("address", "source", "message"),
    [
        ("SERVER/none", {}, "repository 'SERVER/none/' not found"),
        ("file:///nowhere", {}, "'/nowhere' does not appear to be a git repository"),
        ("SERVER/wine", {"revision": "gone"}, "SERVER/wine has no branch, tag or commit gone"),
        ("SERVER/wine", {"revision": "f" * 40}, f"SERVER/wine has no branch, tag or commit {'f' * 40}"),
        ("SERVER/wine", {"revision": "fffffff"}, "SERVER/wine has no branch, tag or commit fffffff"),
        ("SERVER/wine", {"path": "shallow"}, "SERVER/wine has no folder shallow at commit COMMIT"),
        ("SERVER/wine", {"path": "train.py"}, "SERVER/wine has no folder train.py at commit COMMIT"),
        ("SERVER/empty", {}, "SERVER/empty has no default branch: name a revision"),
    ],
)
def test_what_is_not_there_would_not_be_there_again(
    scene: Scene, address: str, source: dict[str, Any], message: str
) -> None:
    new_repository(scene.repository.folder.with_name("empty"))
    error = scene.refused(address.replace("SERVER", scene.server), **source)
    commit = scene.repository.git("rev-parse", "main")
    assert str(error) == message.replace("SERVER", scene.server).replace("COMMIT", commit)
    assert error.is_permanent


def test_a_server_that_does_not_answer_may_do_so_later(scene: Scene) -> None:
    address = f"http://127.0.0.1:{free_port()}/wine"
    error = scene.refused(address)
    assert f"unable to access '{address}/'" in str(error)
    assert not error.is_permanent


def secret(folder: Path, **files: str) -> Path:
    """Return a folder with a Secret's files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_key", "-privatekey")).write_text(text)
    return folder


def test_a_secret_signs_in_and_is_not_kept(private: Scene, tmp_path: Path) -> None:
    credentials = secret(tmp_path / "secret", username="reader", password=PASSWORD)
    assert private.fetch(credentials=credentials).branch == "main"
    kept = (private.there.folder / ".git" / "config").read_text()
    assert PASSWORD not in kept
    assert str(credentials) not in kept


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_refusal_is_told_without_the_password(
    private: Scene, tmp_path: Path, password: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    credentials = secret(tmp_path / "secret", username="reader", password=password) if password else None
    error = private.refused(credentials=credentials)
    said = "Authentication failed for" if password else "could not read Username for"
    assert str(error).startswith(f"{said} '{private.server}")
    assert error.is_permanent
    assert "wrong" not in str(error) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("address", "files", "message"),
    [
        ("https://h/p", {"username": "u"}, "has no password, which https needs"),
        ("https://h/p", {"ssh_key": "k"}, "has no username and no password, which https needs"),
        ("ssh://git@h/p", {"ssh_key": "k"}, "has no known_hosts, which ssh needs"),
        (
            "ssh://git@h/p",
            {"username": "u", "password": "p"},
            "has no ssh-privatekey and no known_hosts, which ssh needs",
        ),
    ],
)
def test_a_secret_that_lacks_something_is_told(
    scene: Scene, tmp_path: Path, address: str, files: dict[str, str], message: str
) -> None:
    error = scene.refused(address, credentials=secret(tmp_path / "secret", **files))
    assert (str(error), error.is_permanent) == (f"the Secret of source.secretName {message}", True)


def test_a_key_is_given_to_ssh_which_checks_the_hosts_key(scene: Scene, tmp_path: Path) -> None:
    """Ssh itself is not asked: what stands for it writes down how it was called, and refuses."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho "git@h: Permission denied (publickey)." >&2\nexit 255\n'
    )
    (programs / "ssh").chmod(0o755)
    credentials = secret(tmp_path / "secret", ssh_key="k", known_hosts="h")
    first_of_all = {"PATH": f"{programs}:{os.environ['PATH']}"}
    with pytest.raises(Unprepared) as error:
        scene.fetch("ssh://git@h/p", credentials=credentials, variables=first_of_all)
    assert (str(error.value), error.value.is_permanent) == ("git@h: Permission denied (publickey).", True)
    called = (tmp_path / "called").read_text()
    for option in (f"-i {credentials}/ssh-privatekey", "StrictHostKeyChecking=yes", "BatchMode=yes", "known_hosts"):
        assert option in called


def test_a_hook_of_another_repository_is_not_in_the_way(scene: Scene) -> None:
    before = scene.repository.git("rev-parse", "HEAD")
    foreign = {"GIT_DIR": str(scene.repository.folder / ".git"), "GIT_INDEX_FILE": "x"}
    scene.fetch(revision="v1", variables=foreign)
    assert scene.repository.git("rev-parse", "HEAD") == before
    assert scene.text() == "first"


def test_an_address_that_is_none_is_told(scene: Scene) -> None:
    assert scene.refused("https://h/p\0").is_permanent


def test_without_git_it_is_said(scene: Scene) -> None:
    with pytest.raises(Unprepared, match="there is no program git here: install it"):
        scene.fetch(variables={"PATH": "/nowhere"})
