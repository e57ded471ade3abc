"""Code from real git repositories, over git's own server."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.api.source import Source
from runyard.prepare.failures import Unprepared
from runyard.prepare.git import fetch
from tests.support.apiserver import free_port
from tests.support.repositories import Repository, git_server, new_repository

ENVIRONMENT = {name: os.environ[name] for name in ("PATH",)}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a branch `main` of two commits, a branch `other/line` and a tag on the first."""
    found = new_repository(tmp_path / "served" / "wine")
    found.commit(train="first", deep__train="first")
    found.git("tag", "-a", "v1", "-m", "one")
    found.git("branch", "other/line")
    found.commit(train="second")
    return found


@pytest.fixture
def server(repository: Repository) -> Iterator[str]:
    with git_server(repository.folder.parent) as address:
        yield address


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has configured nothing."""
    (tmp_path / "home").mkdir()
    return {**ENVIRONMENT, "HOME": str(tmp_path / "home"), "GIT_CONFIG_NOSYSTEM": "1"}


@pytest.mark.parametrize(
    ("revision", "commit", "branch", "text"),
    [
        pytest.param(None, "main", "main", "second", id="the default branch"),
        pytest.param("main", "main", "main", "second", id="a branch"),
        pytest.param("other/line", "v1^{commit}", "other/line", "first", id="a branch with a slash"),
        pytest.param("v1", "v1^{commit}", None, "first", id="a tag with a message"),
        pytest.param("refs/heads/other/line", "v1^{commit}", "other/line", "first", id="a full name"),
    ],
)
def test_a_revision_is_checked_out(
    repository: Repository,
    server: str,
    home: dict[str, str],
    tmp_path: Path,
    revision: str | None,
    commit: str,
    branch: str | None,
    text: str,
) -> None:
    source = Source(git=f"{server}/wine", revision=revision)
    found = fetch(source, tmp_path / "there", None, home)
    assert (found.commit, found.branch, found.git) == (repository.git("rev-parse", commit), branch, source.git)
    assert (tmp_path / "there" / "train.py").read_text() == text
    here = Repository(tmp_path / "there")
    assert here.git("rev-parse", "HEAD") == found.commit
    assert here.git("status", "--porcelain") == ""
    assert here.git("rev-list", "--count", "HEAD") == "1", "no more than the one commit is fetched"
    assert here.git("rev-parse", "--abbrev-ref", "HEAD") == (branch or "HEAD")


@pytest.mark.parametrize("length", [40, 10])
@pytest.mark.parametrize("is_given_out", [True, False], ids=["given out by itself", "given out with all"])
def test_a_commit_is_found_by_its_name_or_a_part_of_it(
    repository: Repository, server: str, home: dict[str, str], tmp_path: Path, length: int, is_given_out: bool
) -> None:
    repository.git("config", "uploadpack.allowAnySHA1InWant", str(is_given_out).lower())
    repository.git("config", "protocol.version", "0" if not is_given_out else "2")
    first = repository.git("rev-parse", "v1^{commit}~0")
    found = fetch(Source(git=f"{server}/wine", revision=first[:length]), tmp_path / "there", None, home)
    assert (found.commit, found.branch) == (first, None)
    assert (tmp_path / "there" / "train.py").read_text() == "first"


def test_a_repository_on_a_volume_is_fetched_whoever_it_belongs_to(
    repository: Repository, home: dict[str, str], tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "12345:12345", str(repository.folder)], check=True)
    found = fetch(Source(git=f"file://{repository.folder}"), tmp_path / "there", None, home)
    assert found.branch == "main"
    assert (tmp_path / "there" / "train.py").read_text() == "second"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"git": "SERVER/none"}, "repository 'SERVER/none/' not found"),
        ({"git": "file:///nowhere"}, "'/nowhere' does not appear to be a git repository"),
        ({"git": "SERVER/wine", "revision": "gone"}, "SERVER/wine has no branch, tag or commit gone"),
        ({"git": "SERVER/wine", "revision": "f" * 40}, f"SERVER/wine has no branch, tag or commit {'f' * 40}"),
        ({"git": "SERVER/wine", "revision": "fffffff"}, "SERVER/wine has no branch, tag or commit fffffff"),
        ({"git": "SERVER/wine", "path": "shallow"}, "SERVER/wine has no folder shallow at commit COMMIT"),
        ({"git": "SERVER/wine", "path": "train.py"}, "SERVER/wine has no folder train.py at commit COMMIT"),
    ],
)
def test_what_is_not_there_would_not_be_there_again(
    repository: Repository, server: str, home: dict[str, str], tmp_path: Path, source: dict[str, str], message: str
) -> None:
    wanted = Source(**{**source, "git": source["git"].replace("SERVER", server)})
    with pytest.raises(Unprepared) as error:
        fetch(wanted, tmp_path / "there", None, home)
    expected = message.replace("SERVER", server).replace("COMMIT", repository.git("rev-parse", "main"))
    assert (str(error.value), error.value.reason, error.value.is_permanent) == (expected, "SourceUnavailable", True)


def test_a_server_that_does_not_answer_may_do_so_later(home: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(Unprepared) as error:
        fetch(Source(git=f"http://127.0.0.1:{port}/wine"), tmp_path / "there", None, home)
    assert error.value.is_permanent is False
    assert f"unable to access 'http://127.0.0.1:{port}/wine/'" in str(error.value)


@pytest.fixture
def private(repository: Repository) -> Iterator[str]:
    with git_server(repository.folder.parent, password="let me $(in)") as address:
        yield address


def secret(folder: Path, **files: str) -> Path:
    """Return a folder with a Secret's files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_key", "-privatekey")).write_text(text)
    return folder


def test_a_secret_signs_in(private: str, home: dict[str, str], tmp_path: Path) -> None:
    credentials = secret(tmp_path / "secret", username="reader", password="let me $(in)")
    found = fetch(Source(git=f"{private}/wine", secret_name="s"), tmp_path / "there", credentials, home)
    assert found.branch == "main"
    kept = (tmp_path / "there" / ".git" / "config").read_text()
    assert "let me" not in kept
    assert str(credentials) not in kept


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_refusal_is_told_without_the_password(
    private: str, home: dict[str, str], tmp_path: Path, password: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    credentials = secret(tmp_path / "secret", username="reader", password=password) if password else None
    with pytest.raises(Unprepared) as error:
        fetch(Source(git=f"{private}/wine"), tmp_path / "there", credentials, home)
    said = "Authentication failed for" if password else "could not read Username for"
    assert error.value.is_permanent
    assert str(error.value).startswith(f"{said} '{private}")
    assert "wrong" not in str(error.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("address", "files", "message"),
    [
        ("https://h/p", {"username": "u"}, "has no password, which https needs"),
        ("https://h/p", {"ssh_key": "k"}, "has no username and no password, which https needs"),
        ("ssh://git@h/p", {"ssh_key": "k"}, "has no known_hosts, which ssh needs"),
        ("ssh://git@h/p", {"username": "u", "password": "p"}, "has no ssh-privatekey and no known_hosts, which ssh needs"),
    ],
)
def test_a_secret_that_lacks_something_is_told(
    address: str, files: dict[str, str], message: str, home: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(Unprepared) as error:
        fetch(Source(git=address), tmp_path / "there", secret(tmp_path / "secret", **files), home)
    assert str(error.value) == f"the Secret of source.secretName {message}"
    assert error.value.is_permanent


def test_a_key_is_given_to_ssh_and_the_hosts_key_is_checked(home: dict[str, str], tmp_path: Path) -> None:
    """Ssh itself is not asked: what stands for it writes down how it was called, and refuses."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/called\necho "git@h: Permission denied (publickey)." >&2\nexit 255\n'
    )
    (programs / "ssh").chmod(0o755)
    credentials = secret(tmp_path / "secret", ssh_key="k", known_hosts="h")
    with pytest.raises(Unprepared) as error:
        fetch(
            Source(git="ssh://git@h/p"),
            tmp_path / "there",
            credentials,
            {**home, "PATH": f"{programs}:{home['PATH']}"},
        )
    assert (str(error.value), error.value.is_permanent) == ("git@h: Permission denied (publickey).", True)
    called = (tmp_path / "called").read_text()
    for option in (f"-i {credentials}/ssh-privatekey", "StrictHostKeyChecking=yes", "BatchMode=yes", "known_hosts"):
        assert option in called


def test_a_hook_of_another_repository_is_not_in_the_way(
    repository: Repository, server: str, home: dict[str, str], tmp_path: Path
) -> None:
    before = repository.git("rev-parse", "HEAD")
    foreign = {"GIT_DIR": str(repository.folder / ".git"), "GIT_INDEX_FILE": "x"}
    fetch(Source(git=f"{server}/wine", revision="v1"), tmp_path / "there", None, {**home, **foreign})
    assert repository.git("rev-parse", "HEAD") == before
    assert (tmp_path / "there" / "train.py").read_text() == "first"


def test_without_git_it_is_said(home: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Unprepared, match="there is no program git here: install it"):
        fetch(Source(git="https://h/p"), tmp_path / "there", None, {**home, "PATH": "/nowhere"})
