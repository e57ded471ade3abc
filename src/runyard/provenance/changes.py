"""What was changed since a commit, as one diff that depends on nothing but the two trees.

The work tree becomes a tree in a scratch repository, as this repository's own settings and filters have it. The diff of
the two trees is made in that scratch repository, where there is no setting and no attribute that could change a byte.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from runyard.provenance.git import Git, GitFailed

# New files that are larger are data, more likely than code: they are named, and not in the diff.
LARGEST_NEW_FILE_BYTES = 1024 * 1024
LARGEST_DIFF_BYTES = 16 * 1024 * 1024
_TRIES = 5

# What MLflow and Runyard keep beside the code by themselves: it grows with each run.
_OF_A_STORE = re.compile(rb"(^|.*/)((mlruns|mlartifacts|\.runyard)/.*|mlflow\.db(-journal|-wal|-shm)?)", re.DOTALL)
# As docs/provenance.md has it.
DIFF = (
    *("diff-tree", "-p", "--binary", "--full-index", "--no-renames", "--no-color", "--unified=3"),
    *("--inter-hunk-context=0", "--diff-algorithm=myers", "--indent-heuristic", "--submodule=short"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--no-ext-diff", "--no-textconv"),
)


def changes(git: Git, commit: str) -> tuple[bytes, dict[str, str]]:
    """Return the diff from a commit to the work tree, and which files it leaves out and why, as `diff/PATH`.

    Args:
        git: at the root of the work tree.
        commit: the whole name of HEAD.

    Raises:
        AnswerTooLong: the diff is too large.
        GitFailed: git cannot tell.
        OSError: there is no room for the scratch repository.

    """
    with tempfile.TemporaryDirectory(prefix="runyard-") as name:
        scratch = isolated(git, Path(name), commit)
        # Objects and the index that are written are the scratch repository's; those that are read may be the person's.
        own = git.with_variables(GIT_INDEX_FILE=str(scratch.folder / "index"), GIT_OBJECT_DIRECTORY=f"{name}/objects")
        left_out = _as_it_is(git, own, commit)
        tree = own("write-tree", "--missing-ok").decode().strip()
        for path in _names(own("diff", "--name-only", "-z", "--ignore-submodules=none", "-O/dev/null")):
            if not _OF_A_STORE.fullmatch(path):
                left_out.setdefault(_key(path), "changed while it was read, or a repository of its own with changes")
        diff = scratch(*DIFF, f"{commit}^{{tree}}", tree, at_most=LARGEST_DIFF_BYTES)
    return diff, dict(sorted(left_out.items()))


def objects_of(git: Git) -> bytes:
    """Return the folder in which a repository keeps its objects.

    Raises:
        GitFailed: it is none.

    """
    return os.path.abspath(os.path.join(os.fsencode(git.folder), _line(git("rev-parse", "--git-path", "objects"))))  # noqa: PTH100, PTH118 bytes


def isolated(git: Git, folder: Path, commit: str, *more: bytes) -> Git:
    """Make a bare repository without any settings, which finds the other one's objects.

    Args:
        git: the other one.
        folder: where it is made; there, and empty.
        commit: the whole name of one that is there, by which its kind of names is known.
        more: further folders with objects.

    Raises:
        GitFailed: git cannot make it.

    """
    variables = {name: value for name, value in git.variables.items() if not name.startswith("GIT_CONFIG")}
    variables |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
    scratch = Git(folder, git.ends_at, variables, ("-c", f"core.attributesFile={os.devnull}"))
    of_sha256 = ("--object-format=sha256",) if len(commit) == 64 else ()  # noqa: PLR2004 digits
    scratch("init", "--quiet", "--bare", "--template=", *of_sha256, ".")
    (folder / "objects" / "info").mkdir(exist_ok=True)
    (folder / "objects" / "info" / "alternates").write_bytes(
        b"".join(each + b"\n" for each in (objects_of(git), *more))
    )
    return scratch.with_variables(GIT_DIR=str(folder))


def _as_it_is(git: Git, own: Git, commit: str) -> dict[str, str]:
    """Bring the scratch index to what is in the work tree; return what was left out."""
    index = git.folder / os.fsdecode(_line(git("rev-parse", "--git-path", "index")))
    if index.exists():
        # With its times: by them git knows which files may have changed within the moment that it was written in.
        shutil.copy2(index, own.variables["GIT_INDEX_FILE"])
    else:
        own("read-tree", commit)
    left_out: dict[str, str] = {}
    new = _names(own("ls-files", "--others", "--exclude-standard", "-z"))
    taken = _to_take(git.folder, new, LARGEST_NEW_FILE_BYTES, "a new file", left_out)
    changed = _names(own("ls-files", "--modified", "-z"))
    taken += _to_take(git.folder, changed, LARGEST_DIFF_BYTES, "a changed file", left_out)
    _add(own, taken)
    return left_out


def _add(own: Git, names: list[bytes]) -> None:
    """Bring files into the index; what has gone by now is no file.

    One that goes between git's two looks at it is an error, so git is asked again.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            own("update-index", "--add", "--remove", "--replace", "-z", "--stdin", names=names)
        except GitFailed:
            if not tries_left:
                raise
        else:
            return


def _to_take(root: Path, names: list[bytes], largest_bytes: int, kind: str, left_out: dict[str, str]) -> list[bytes]:
    """Return the names of what is to be in the diff, and add the others to what is left out."""
    taken = []
    for name in names:
        if _OF_A_STORE.fullmatch(name):
            continue
        # A name that ends in a slash is a repository inside this one.
        if name.endswith(b"/"):
            left_out[_key(name)] = "a repository of its own"
        elif _size(root, name) > largest_bytes:
            left_out[_key(name)] = f"{kind} of more than {largest_bytes} bytes"
        else:
            taken.append(name)
    return taken


def _size(root: Path, name: bytes) -> int:
    try:
        return (root / os.fsdecode(name)).lstat().st_size
    except OSError:  # it has gone meanwhile
        return 0


def _names(answer: bytes) -> list[bytes]:
    return [name for name in answer.split(b"\0") if name]


def _line(answer: bytes) -> bytes:
    return answer.removesuffix(b"\n")


def _key(name: bytes) -> str:
    """Write a name as text: bytes that are no UTF-8 as Python escapes them."""
    return f"diff/{name.decode(errors='backslashreplace')}"
