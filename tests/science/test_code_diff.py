"""`runyard diff --code`: what makes of one run's code another one's, from what real scripts recorded."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
import pytest

from runyard import provenance
from runyard.cli import main
from tests.support.repositories import Repository, new_repository

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def runyard(store: mlflow.MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, beside no repository."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["runyard", "diff", *map(str, words), "--tracking-uri", store.tracking_uri])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return new_repository(tmp_path / "repository")


def trained(repository: Repository, name: str) -> str:
    """Record a run of what is in the repository now, as a script does."""
    with mlflow.start_run(run_name=name) as run:
        provenance.log(folder=repository.folder)
        mlflow.set_tag("runyard.dev/folder", str(repository.folder))
    return str(run.info.run_id)


def applied(repository: Repository, to: Path, diff: str) -> dict[str, str]:
    """Apply a diff to a copy of the repository, and return what its files are then."""
    shutil.copytree(repository.folder, to)
    (to / "it.diff").write_text(diff)
    Repository(to).git("apply", "it.diff")
    return {file.name: file.read_text() for file in to.glob("*.py")}


def test_two_commits_with_what_was_changed_since(runyard: Command, repository: Repository, tmp_path: Path) -> None:
    repository.commit(model="factor = 1\n", train="print(1)\n", gone="pass\n")
    trained(repository, "before")
    shutil.copytree(repository.folder, tmp_path / "then")
    (repository.folder / "gone.py").unlink()
    repository.commit(model="factor = 2\n")
    (repository.folder / "train.py").write_text("print(2)\n")
    (repository.folder / "new.py").write_text("new = 1\n")
    trained(repository, "now")
    here = {file.name: file.read_text() for file in repository.folder.glob("*.py")}
    repository.git("stash", "--include-untracked")

    code, out, error = runyard("before", "now", "--code")

    assert (code, error) == (1, "")
    assert applied(Repository(tmp_path / "then"), tmp_path / "applied", out) == here
    back = runyard("now", "before", "--code")[1]
    assert ("-factor = 1\n+factor = 2\n" in out, "-factor = 2\n+factor = 1\n" in back) == (True, True)
    found = json.loads(runyard("before", "now", "--code", "-o", "json")[1])
    assert (found["code"], found["notes"]) == (out, [])
    assert [each["name"] for each in found["differences"]] == ["commit", "uncommitted"]
    assert repository.git("status", "--porcelain") == "", "the repository stays as it is"

    shutil.rmtree(repository.folder / ".git")
    code, out, error = runyard("before", "now", "--code")
    assert (code, out) == (2, "")
    assert error.startswith("runyard: commit ")
    assert "no address of a repository is recorded: give --folder in a clone that has it" in error
    assert runyard("before", "now", "--code", "--folder", tmp_path / "then")[0] == 2, "it has one of them alone"


def test_one_commit_changed_in_two_ways(runyard: Command, repository: Repository, tmp_path: Path) -> None:
    repository.commit(model="factor = 1\n")
    trained(repository, "clean")
    for name, factor in (("five", 5), ("seven", 7), ("again", 7)):
        (repository.folder / "model.py").write_text(f"factor = {factor}\n")
        trained(repository, name)

    code, out, _ = runyard("five", "seven", "--code")
    assert code == 1
    assert [line for line in out.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}] == [
        "-factor = 5",
        "+factor = 7",
    ]
    assert runyard("seven", "again", "--code") == (0, "", "")
    assert runyard("clean", "seven", "--code")[1].count("\n+factor = 7\n") == 1

    # From its address, where nothing on this machine has the commit.
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--bare", str(repository.folder), str(tmp_path / "origin"))
    repository.git("clone", "--quiet", str(tmp_path / "origin"), str(clone))
    (clone / "model.py").write_text("factor = 9\n")
    trained(Repository(clone), "cloned")
    (clone / "model.py").write_text("factor = 8\n")
    trained(Repository(clone), "cloned twice")
    shutil.rmtree(clone)
    code, out, error = runyard("cloned", "cloned twice", "--code")
    assert (code, error) == (1, "")
    assert "-factor = 9\n+factor = 8\n" in out


def test_what_is_not_on_record_is_said(runyard: Command, repository: Repository, store: mlflow.MlflowClient) -> None:
    commit = repository.commit(model="factor = 1\n")
    (repository.folder / "model.py").write_text("factor = 2\n")
    dirty = trained(repository, "dirty")
    with mlflow.start_run(run_name="by hand"):
        pass
    with mlflow.start_run(run_name="tagged", tags={"mlflow.source.git.commit": commit}) as tagged:
        pass

    code, out, error = runyard("dirty", "by hand", "--code")
    assert (code, out) == (2, "")
    assert "does not say which commit it ran: `runyard.provenance.log()` in the script records it" in error
    code, out, error = runyard("dirty", "tagged", "--code", "--folder", repository.folder)
    assert (code, "-factor = 2\n+factor = 1\n" in out) == (1, True)
    assert error == (
        f"runyard: whether tagged ({tagged.info.run_id[:8]}) had changes since commit {commit[:12]} is not recorded\n"
    )
    patch = Path(unquote(urlsplit(str(store.get_run(dirty).info.artifact_uri)).path)) / "runyard" / "uncommitted.diff"
    patch.write_text("not what was recorded")
    code, out, error = runyard("dirty", "tagged", "--code", "--folder", repository.folder)
    assert (code, out) == (2, "")
    assert "uncommitted.diff has the digest sha256:" in error
    patch.unlink()
    assert "has no runyard/uncommitted.diff any more" in runyard("dirty", "tagged", "--code")[2]
    for words, said in (
        (("dirty", "tagged", "--folder", "."), "--folder is for --code"),
        (("dirty", "tagged", "--code", "--folder", "nowhere"), "--folder is nowhere, which is no folder"),
        (("dirty", "nobody", "--code"), 'there is no run "nobody"'),
    ):
        code, out, error = runyard(*words)
        assert (code, out, said in " ".join(error.replace("│", " ").split())) == (2, "", True)
