"""The code that runs, in git's words: its commit, and what was changed since."""

import os
import subprocess
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from runyard.api.addresses import without_logins
from runyard.errors import ProvenanceUnavailable

# New files that are larger are data, more likely than code: they are named, and not in the diff.
LARGEST_NEW_FILE_BYTES = 1024 * 1024
LARGEST_DIFF_BYTES = 16 * 1024 * 1024

# The same change is the same text, whatever a person has set.
_PLAIN_DIFF = (
    *("-c", "diff.algorithm=myers", "-c", "core.quotePath=true", "-c", "diff.renames=false", "-c", "diff.context=3"),
    *("diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--submodule=short"),
)


@dataclass(frozen=True)
class Code:
    """A working tree.

    Attributes:
        commit: HEAD's whole name.
        branch: the branch that is checked out, if one is.
        address: of the repository it comes from (`origin`), without a login.
        diff: what `git apply` makes of the commit what runs here: changes and new files; empty where there are none.
        left_out: new files that are too large for the diff.

    """

    commit: str
    branch: str | None
    address: str | None
    diff: bytes
    left_out: tuple[str, ...] = ()

    @property
    def is_dirty(self) -> bool:
        """Whether the commit alone is not what runs."""
        return bool(self.diff or self.left_out)

    @property
    def diff_digest(self) -> str | None:
        """The diff's SHA-256, sha256:…; None without a diff."""
        return f"sha256:{sha256(self.diff).hexdigest()}" if self.diff else None


def find_code(folder: Path) -> Code | None:
    """Look at the git repository that a folder lies in; None where there is none, or it has no commit yet.

    The repository is left as it is: what is compared is an index of its own. Files that .gitignore names are no code.

    Raises:
        ProvenanceUnavailable: git fails in the repository, or the changes are too large to record.

    """
    try:
        root = Path(_git(folder, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
        commit = _git(root, "rev-parse", "--verify", "HEAD").decode().strip()
    except (FileNotFoundError, _Failed):
        return None
    try:
        diff, left_out = _changes(root)
        return Code(
            commit,
            branch=_said(root, "symbolic-ref", "--short", "HEAD"),
            address=without_logins(address) if (address := _said(root, "remote", "get-url", "origin")) else None,
            diff=diff,
            left_out=left_out,
        )
    except _Failed as failure:
        raise ProvenanceUnavailable(f"git cannot say what is changed in {root}: {failure}") from failure


def _changes(root: Path) -> tuple[bytes, tuple[str, ...]]:
    new = [name for name in _git(root, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0") if name]
    # A name that ends in a slash is a repository inside this one.
    files = [name for name in new if not name.endswith(b"/")]
    sizes = {name: (root / os.fsdecode(name)).lstat().st_size for name in files}
    large = [name for name in files if sizes[name] > LARGEST_NEW_FILE_BYTES]
    left_out = tuple(sorted(os.fsdecode(name) for name in {*large, *new} - {*files} | {*large}))
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        index.write_bytes((_git_folder(root) / "index").read_bytes())
        small = b"\0".join(name for name in files if name not in large)
        if small:
            words = ("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
            _git(root, *words, index=index, stdin=small)
        diff = _git(root, *_PLAIN_DIFF, "HEAD", index=index)
    if len(diff) > LARGEST_DIFF_BYTES:
        raise ProvenanceUnavailable(
            f"what is changed in {root} takes {len(diff) / 1e6:.0f} MB, and {LARGEST_DIFF_BYTES / 1e6:.0f} MB are the "
            "most that is recorded: commit it, or name data files in .gitignore"
        )
    return diff, left_out


def _git_folder(root: Path) -> Path:
    return Path(_git(root, "rev-parse", "--absolute-git-dir").decode().rstrip("\n"))


def _said(root: Path, *words: str) -> str | None:
    try:
        return _git(root, *words).decode().strip() or None
    except _Failed:
        return None


class _Failed(Exception):
    """Git ended with an error, in its own words."""


def _git(folder: Path, *words: str, index: Path | None = None, stdin: bytes = b"") -> bytes:
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    if index:
        environment["GIT_INDEX_FILE"] = str(index)
    # Pathspecs are names of files, not patterns.
    command = ["git", "--literal-pathspecs", "-C", str(folder), *words]
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)  # noqa: S603
    if done.returncode:
        raise _Failed(done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}")
    return done.stdout
