"""The code that a run trained, brought back on this machine: the commit, and what was changed since."""

import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from runyard.api.model import as_list
from runyard.api.source import Source
from runyard.errors import ProvenanceUnavailable, RunyardError
from runyard.history import History, LoggedRun, UnreadableArtifact
from runyard.prepare import git as checkout
from runyard.prepare.failures import Unprepared
from runyard.provenance.code import Code, find_code
from runyard.provenance.git import Git, GitFailed
from runyard.reproduction.receipts import Gap, Receipt, RecordedCode

DIFF_ARTIFACT = "runyard/uncommitted.diff"
_GIT_SECONDS = 60.0
_IN_PLACE = "--in-place trains what is there now"


class CodeMissing(RunyardError):
    """The code that a run trained cannot be had again."""

    exit_code = 2

    def __init__(self, gap: Gap) -> None:
        """Say what is missing, why, and what to do about it."""
        self.gap = gap
        super().__init__(f"{gap.what}: {gap.why}: {gap.remedy}")


class NotAFolders(RunyardError):
    """The code is the manifest's source, whatever lies in a folder."""

    exit_code = 2


class NoSuchFolder(RunyardError):
    """The folder that was named for the code is none."""

    exit_code = 2


@dataclass(frozen=True)
class Place:
    """Where a training starts.

    Attributes:
        folder: in which its command starts.
        says: what code that is, in a sentence.
        is_other: whether it is known not to be what ran, and was asked for all the same.
        is_scratch: whether it was made for this, and goes afterwards.

    """

    folder: Path
    says: str
    is_other: bool = False
    is_scratch: bool = False


@contextmanager
def restored(history: History, receipt: Receipt, folder: Path | None, *, in_place: bool) -> Iterator[Place]:
    """Give the folder that a training's command is to start in, with the code that it ran, as far as that is recorded.

    Where the repository has that commit checked out, with the same changes, it is the folder itself. Otherwise the
    commit is checked out elsewhere and the recorded changes are applied; the repository stays as it is.

    Args:
        history: where the changes are.
        receipt: of the run.
        folder: the manifest's folder on this machine; None: the recorded one.
        in_place: whether the code is to be what it is now, whatever is recorded.

    Raises:
        NoSuchFolder: the folder that was given is none.
        NotAFolders: the code is to be what a folder has, and is fetched.
        CodeMissing: the code cannot be had.
        TrackingUnavailable: MLflow does not answer.

    """
    recorded = receipt.code
    if folder is not None and not folder.is_dir():
        raise NoSuchFolder(f"--folder is {folder}, which is no folder: give the one that the manifest lay in")
    if receipt.spec.get("source"):
        if in_place:
            raise NotAFolders(
                f"--in-place: {receipt.name} fetches its code, spec.source: leave it out, or start a manifest "
                "without a source with `runyard run`"
            )
        commit = receipt.commit or "the revision that the manifest names"
        yield Place(folder or Path.cwd(), f"the code is the source at {commit}")
        return
    there = folder or (Path(recorded.folder) if recorded.folder else None)
    if there is not None and not there.is_dir():
        there = None
    here = _code_of(there) if there else None
    if there and (in_place or not recorded.commit or _is_the_same(here, recorded)):
        is_other = _is_other(there, here, recorded)
        if is_other and not in_place:
            script = PurePosixPath(recorded.program or "").name
            why = f"{script} in {there} is not the one that ran, and no commit is recorded"
            raise CodeMissing(_gap(why, f"put it back, or {_IN_PLACE}"))
        is_certain = folder or recorded.commit or _is_the_script(there, recorded)
        if not is_certain and recorded.machine not in {None, platform.node()}:
            why = f"it was in {there} on {recorded.machine}, and this is {platform.node()}; no commit is recorded"
            raise CodeMissing(_gap(why, "give --folder"))
        yield Place(there, _as_it_is(there, here, recorded), is_other)
        return
    if not recorded.commit or in_place:
        raise CodeMissing(_no_folder(receipt))
    with tempfile.TemporaryDirectory(prefix="runyard-") as scratch:
        root = Path(scratch) / "code"
        inside = _inside(there, here, receipt)
        changes = stored_changes(history, receipt.run, recorded)
        address = _checked_out(recorded, here, root)
        _as_recorded(root, changes, recorded, Path(scratch) / "uncommitted.diff")
        if not (root / inside).is_dir():
            raise CodeMissing(_gap(f"commit {recorded.commit} has no folder {inside}", "give --folder"))
        changed = " with the changes recorded then" if changes else ""
        unknown = "" if recorded.is_diff_known else "; whether it was changed then is not recorded"
        said = f"the code is commit {recorded.commit[:12]} of {address}{changed}, checked out for this{unknown}"
        yield Place(root / inside, said, is_scratch=True)


def _gap(why: str, remedy: str) -> Gap:
    return Gap("the code", why, remedy, is_in_the_way=True)


def _no_folder(receipt: Receipt) -> Gap:
    recorded = receipt.code
    if recorded.folder:
        return _gap(f"{recorded.folder} is not on this machine, and no commit is recorded", "give --folder")
    if image := receipt.image or receipt.spec.get("image"):
        return _gap(f"it is in the image {image}", "repeat it with --cluster, or give --folder")
    return _gap("it is not recorded where it was", "give --folder")


def _code_of(folder: Path) -> Code | None:
    try:
        return find_code(folder)
    except ProvenanceUnavailable:  # more is changed than can be recorded: it is not what ran
        return None


def _is_the_same(here: Code | None, recorded: RecordedCode) -> bool:
    if here is None or here.commit != recorded.commit:
        return False
    # Of changes that are not known nothing better can be had than the commit with those that there are.
    return not recorded.is_diff_known or (here.diff_digest == recorded.diff and "diff" not in here.left_out)


def _is_other(folder: Path, here: Code | None, recorded: RecordedCode) -> bool:
    """Whether the code in a folder is known not to be what ran."""
    if recorded.commit:
        return bool(here and here.commit) and not _is_the_same(here, recorded)
    return _is_the_script(folder, recorded) is False


def _is_the_script(folder: Path, recorded: RecordedCode) -> bool | None:
    """Whether the program in a folder is the one that ran; None where it is not recorded, or not there."""
    script = folder / PurePosixPath(recorded.program or "").name
    if not (recorded.script and script.is_file()):
        return None
    return f"sha256:{sha256(script.read_bytes()).hexdigest()}" == recorded.script


def _as_it_is(folder: Path, here: Code | None, recorded: RecordedCode) -> str:
    """Say of the code in a folder whether it is what ran."""
    begun = f"the code is what is in {folder} now"
    if recorded.commit and here and here.commit:
        if not _is_the_same(here, recorded):
            now, then = (f"{name[:12]}" for name in (here.commit, recorded.commit))
            what = f"commit {now}, and it ran {then}" if now != then else f"commit {now} with other changes"
            return f"{begun}, which is not what ran: {what}"
        unknown = "" if recorded.is_diff_known else "; whether it was changed then is not recorded"
        return f"{begun}: commit {recorded.commit[:12]}, as it ran{unknown}"
    if recorded.commit:
        return f"{begun}; it ran commit {recorded.commit[:12]}, and that is no repository that can be read"
    if (is_same := _is_the_script(folder, recorded)) is not None:
        said = "is the one that ran" if is_same else "is not the one that ran"
        return f"{begun}: {PurePosixPath(recorded.program or '').name} {said}, of other files nothing is recorded"
    return f"{begun}; no commit is recorded"


def _inside(folder: Path | None, here: Code | None, receipt: Receipt) -> PurePosixPath:
    """Return the folder in the repository that the command started in."""
    if folder and here:
        return PurePosixPath(folder.resolve().relative_to(here.root.resolve()).as_posix())
    program = PurePosixPath(receipt.code.program or "")
    words = [str(word) for name in ("command", "args") for word in as_list(receipt.spec.get(name))]
    for word in map(PurePosixPath, words):
        if word.suffix and program.parts[-len(word.parts) :] == word.parts:
            return PurePosixPath(*program.parts[: -len(word.parts)])
    raise CodeMissing(_gap("in which folder of the repository it ran is not recorded", "give --folder"))


def stored_changes(history: History, run: LoggedRun, recorded: RecordedCode) -> bytes:
    """Return what was changed since the commit, if it is what the run says of it; empty where nothing was.

    Raises:
        CodeMissing: it is not there, or something else.
        TrackingUnavailable: MLflow does not answer.

    """
    if not recorded.diff:
        return b""
    try:
        content = history.content(run, DIFF_ARTIFACT)
    except UnreadableArtifact as error:
        raise CodeMissing(_gap(str(error), _IN_PLACE)) from error
    if content is None:
        raise CodeMissing(_gap(f"the run has no {DIFF_ARTIFACT} any more", _IN_PLACE))
    found = f"sha256:{sha256(content).hexdigest()}"
    if found != recorded.diff:
        why = f"{DIFF_ARTIFACT} has the digest {found}, and {recorded.diff} was recorded"
        raise CodeMissing(_gap(why, _IN_PLACE))
    return content


def _checked_out(recorded: RecordedCode, here: Code | None, root: Path) -> str:
    """Check the commit out into a folder, from this machine's repository or else from the recorded address."""
    own = here.root.resolve().as_uri() if here else None
    sources = [address for address in (own, address_of(recorded.address)) if address]
    why = "no repository on this machine has it, and no address of one is recorded"
    for address in sources:
        try:
            checkout.fetch(Source(git=address, revision=recorded.commit), root, None, os.environ)
        except Unprepared as error:
            why = f"commit {recorded.commit} cannot be had: {error}"
            continue
        return str(here.root) if here and address == own else address
    raise CodeMissing(_gap(why, f"give --folder in a clone that has it, or {_IN_PLACE}"))


def address_of(recorded: str | None) -> str | None:
    """Return an address that git may be given: a run may say anything, and git runs what is behind ext::."""
    text = recorded or ""
    if "://" not in text and Path(text).is_absolute() and Path(text).is_dir():
        return Path(text).as_uri()
    if "://" not in text and "@" in text.partition(":")[0] and not text.startswith("-"):
        host, _, path = text.partition(":")
        return f"ssh://{host}/{path}"
    return text if urlsplit(text).scheme in {"https", "http", "ssh", "file"} else None


def _as_recorded(root: Path, changes: bytes, recorded: RecordedCode, scratch: Path) -> None:
    """Apply the changes, and have the repository say where it comes from, as the one that it stands for did."""
    git = Git(root, time.monotonic() + _GIT_SECONDS)
    try:
        if recorded.address:
            git("remote", "set-url", "origin", recorded.address)
        else:
            git("remote", "remove", "origin")
        if changes:
            scratch.write_bytes(changes)
            git("apply", "--whitespace=nowarn", str(scratch))
    except GitFailed as error:
        why = f"{DIFF_ARTIFACT} does not apply to commit {recorded.commit}: {error}"
        raise CodeMissing(_gap(why, _IN_PLACE)) from error
