"""The code that runs, in git's words: its commit, and what was changed since."""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from runyard.api.addresses import without_logins
from runyard.api.source import COMMIT
from runyard.errors import ProvenanceUnavailable
from runyard.provenance.changes import LARGEST_DIFF_BYTES, changes
from runyard.provenance.git import AnswerTooLong, Git, GitFailed

LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Code:
    """A working tree.

    Attributes:
        root: the repository's folder.
        commit: HEAD's whole name; None where it is not known.
        branch: the branch that is checked out, if one is.
        address: of the repository it comes from (`origin`), without a login.
        diff: what `git apply` makes of the commit what runs here: changes and new files; empty where there are none.
        left_out: what is not known of it, and why: `commit`, `diff`, or `diff/PATH` of one file.

    """

    root: Path
    commit: str | None
    branch: str | None = None
    address: str | None = None
    diff: bytes = b""
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_dirty(self) -> bool | None:
        """Whether the commit alone is not what runs; None where that is not known."""
        if self.diff or any(name.startswith("diff/") for name in self.left_out):
            return True
        return None if self.left_out else False

    @property
    def diff_digest(self) -> str | None:
        """The diff's SHA-256, sha256:…; None without a diff."""
        return f"sha256:{sha256(self.diff).hexdigest()}" if self.diff else None


def find_code(folder: Path, longest_seconds: float = LONGEST_SECONDS) -> Code | None:
    """Look at the git repository that a folder lies in; None where it lies in none.

    The repository is left as it is, and need not be writable. Files that .gitignore names are no code. What git cannot
    tell is in `left_out` with its reason; without git the commit is read from the repository's own file.

    Args:
        folder: any folder in it.
        longest_seconds: how long git may take.

    Raises:
        ProvenanceUnavailable: the folder is none, or the changes are too large to record.

    """
    if not folder.is_dir():
        raise ProvenanceUnavailable(f"folder is {str(folder)!r}, which is no folder: give the one that the code is in")
    ends_at = time.monotonic() + longest_seconds
    try:
        root = Path(os.fsdecode(Git(folder, ends_at)("rev-parse", "--show-toplevel").removesuffix(b"\n")))
    except (GitFailed, OSError) as failure:
        marked = next((place for place in (folder.absolute(), *folder.absolute().parents) if _is_marked(place)), None)
        return _without_git(marked, failure) if marked else None
    git = Git(root, ends_at)
    try:
        commit = git("rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    except (GitFailed, OSError) as failure:
        return _without_git(root, failure)
    branch, address = _told(git, "symbolic-ref", "--short", "HEAD"), _told(git, "remote", "get-url", "origin")
    diff, left_out = b"", dict[str, str]()
    try:
        diff, left_out = changes(git, commit)
    except AnswerTooLong as error:
        raise ProvenanceUnavailable(
            f"what is changed in {root} takes more than the {LARGEST_DIFF_BYTES / 1e6:.0f} MB that are recorded: "
            "commit it, or name data files in .gitignore"
        ) from error
    except (GitFailed, OSError) as failure:
        left_out = {"diff": str(failure)}
    return Code(root, commit, branch, without_logins(address) if address else None, diff, left_out)


def _is_marked(folder: Path) -> bool:
    return os.path.lexists(folder / ".git")


def _without_git(root: Path, failure: Exception) -> Code:
    """Return what the repository's own file says: in a pod the code was checked out by another container's git."""
    commit, branch = _head(root / ".git")
    return Code(root, commit, branch, left_out={"diff" if commit else "commit": str(failure)})


def _head(folder: Path) -> tuple[str | None, str | None]:
    """Read HEAD, and the branch that it names; what lies elsewhere (packed refs, linked work trees) is not known."""
    branch = None
    try:
        text = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if text.startswith("ref: refs/heads/"):
            branch = text.removeprefix("ref: refs/heads/")
            text = (folder / "refs" / "heads" / branch).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None, branch
    return (text, branch) if re.fullmatch(COMMIT, text) else (None, branch)


def _told(git: Git, *words: str) -> str | None:
    try:
        return git(*words).decode(errors="replace").strip() or None
    except (GitFailed, OSError):
        return None
