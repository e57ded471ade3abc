"""In what the code of two runs differs: their commits, each with what was changed since, as one unified diff."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runyard.api.source import Source
from runyard.errors import RunyardError
from runyard.history import History, LoggedRun
from runyard.prepare import git as checkout
from runyard.prepare.failures import Unprepared
from runyard.provenance.changes import DIFF, LARGEST_DIFF_BYTES, isolated, objects_of
from runyard.provenance.git import Git, GitFailed
from runyard.reproduction.code import CodeMissing, address_of, stored_changes
from runyard.reproduction.receipts import RecordedCode, recorded_code

_GIT_SECONDS = 60.0


class NoCodeDiff(RunyardError):
    """It cannot be told in what the code of two runs differs."""

    exit_code = 2


@dataclass(frozen=True)
class CodeDiff:
    """What makes of the first one's code the second one's.

    Attributes:
        text: as `git apply` takes it; empty where they are the same.
        notes: what is not known of either, each in a sentence.

    """

    text: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Side:
    run: LoggedRun
    code: RecordedCode

    @property
    def commit(self) -> str:
        return self.code.commit or ""


def code_diff(history: History, one: LoggedRun, other: LoggedRun, folder: Path | None = None) -> CodeDiff:
    """Compare the code that two runs trained, whatever is checked out now.

    The commits are looked for in a repository on this machine - of the folder, of the current one, of those that the
    runs tell - and else at the recorded address. Nothing is written to any of them.

    Args:
        history: where both runs are, with what was changed since their commits.
        one: a run.
        other: another.
        folder: in a repository that has the commits; None: the current one.

    Raises:
        NoCodeDiff: a commit or what was changed since is not recorded, or cannot be had.
        TrackingUnavailable: MLflow does not answer.

    """
    sides = [_side(history, run) for run in (one, other)]
    notes = tuple(
        f"whether {side.run.name} ({side.run.id[:8]}) had changes since commit {side.commit[:12]} is not recorded"
        for side in sides
        if not side.code.is_diff_known
    )
    if sides[0].commit == sides[1].commit and sides[0].code.diff == sides[1].code.diff:
        return CodeDiff(b"", notes)
    patches = [_changes(history, side) for side in sides]
    with tempfile.TemporaryDirectory(prefix="runyard-") as name:
        try:
            return CodeDiff(_compared(Path(name), sides, patches, folder), notes)
        except GitFailed as error:
            raise NoCodeDiff(f"git cannot compare the code of {one.name} and {other.name}: {error}") from error


def _side(history: History, run: LoggedRun) -> _Side:
    code = recorded_code(run, history.provenance(run))
    if not code.commit:
        raise NoCodeDiff(
            f"run {run.name} ({run.id[:8]}) does not say which commit it ran: `runyard.provenance.log()` in the script "
            "records it; of a child, ask for its parent"
        )
    return _Side(run, code)


def _changes(history: History, side: _Side) -> bytes:
    try:
        return stored_changes(history, side.run, side.code)
    except CodeMissing as error:
        raise NoCodeDiff(f"what was changed in {side.run.name} ({side.run.id[:8]}): {error.gap.why}") from error


def _compared(scratch: Path, sides: Sequence[_Side], patches: Sequence[bytes], folder: Path | None) -> bytes:
    ends_at = time.monotonic() + _GIT_SECONDS
    told = [Path(side.code.folder) for side in sides if side.code.folder]
    found = [
        _repository(side, [folder or Path.cwd(), *told], scratch / f"clone-{n}", ends_at)
        for n, side in enumerate(sides)
    ]
    bare = scratch / "compared"
    bare.mkdir()
    git = isolated(found[0], bare, sides[0].commit, objects_of(found[1]))
    trees = [_tree(git, bare / f"index-{n}", sides[n].commit, patches[n]) for n in range(len(sides))]
    return git(*DIFF, *trees, at_most=LARGEST_DIFF_BYTES)


def _tree(git: Git, index: Path, commit: str, patch: bytes) -> str:
    """Return the tree of a commit with changes."""
    own = git.with_variables(GIT_INDEX_FILE=str(index))
    own("read-tree", f"{commit}^{{tree}}")
    if patch:
        file = index.with_suffix(".diff")
        file.write_bytes(patch)
        own("apply", "--cached", "--whitespace=nowarn", str(file))
    return own("write-tree", "--missing-ok").decode().strip()


def _repository(side: _Side, folders: Sequence[Path], clone: Path, ends_at: float) -> Git:
    """Return a repository that has a run's commit: one on this machine, or else what its address gives."""
    for folder in dict.fromkeys(folders):
        git = Git(folder, ends_at)
        if folder.is_dir() and _has(git, side.commit):
            return git
    why = "no address of a repository is recorded"
    if address := address_of(side.code.address):
        try:
            checkout.fetch(Source(git=address, revision=side.commit), clone, None, os.environ)
        except Unprepared as error:
            why = str(error)
        else:
            return Git(clone, ends_at)
    looked = ", ".join(map(str, dict.fromkeys(folders)))
    raise NoCodeDiff(
        f"commit {side.commit} of {side.run.name} ({side.run.id[:8]}) is in no repository here (looked in {looked}), "
        f"and {why}: give --folder in a clone that has it"
    )


def _has(git: Git, commit: str) -> bool:
    try:
        git("rev-parse", "--quiet", "--verify", f"{commit}^{{tree}}")
    except GitFailed:
        return False
    return True
