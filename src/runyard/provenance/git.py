"""Git as a program that is asked and never trusted with time, memory or a person's files."""

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

# What a list of names may have; a diff has its own limit.
LONGEST_ANSWER_BYTES = 256 * 1024 * 1024
_SAID_CHARACTERS = 400
# Where a repository is, as a hook of another one would have it, and all else but which settings are read.
_FOREIGN = re.compile("GIT_(?!CONFIG|EXEC_PATH$|DISCOVERY_ACROSS_FILESYSTEM$|CEILING_DIRECTORIES$)")
_SETTINGS = (
    # No hook and no other program is to run because somebody looks; nothing is written beside an index.
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.splitIndex=false"),
    *("-c", "core.untrackedCache=false", "-c", "core.safecrlf=false"),
)


class GitFailed(Exception):
    """Git is not there, ended with an error, or took too long; in a sentence, with git's own words."""


class AnswerTooLong(GitFailed):
    """Git had more to say than it was asked to."""


def environment() -> dict[str, str]:
    """Return this process's environment without what would have git look at another repository."""
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return kept | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}


@dataclass(frozen=True)
class Git:
    """Git in a folder, until a moment.

    Attributes:
        folder: where it starts.
        ends_at: when it is given up, in seconds of the monotonic clock.
        variables: the whole environment.
        settings: what comes before its command.

    """

    folder: Path
    ends_at: float
    variables: Mapping[str, str] = field(default_factory=environment, repr=False)
    settings: Sequence[str] = _SETTINGS

    def with_variables(self, **more: str) -> "Git":
        """Return it with more variables."""
        return replace(self, variables={**self.variables, **more})

    def __call__(self, *words: str, names: Sequence[bytes] = (), at_most: int = LONGEST_ANSWER_BYTES) -> bytes:
        """Run it, and return what it printed.

        Args:
            words: the command.
            names: given to it one by one, each with a zero byte after it.
            at_most: how many bytes it may print.

        Raises:
            AnswerTooLong: it printed more; it was ended then.
            GitFailed: it is not there, ended with an error, or took too long.

        """
        command = ["git", *self.settings, "--literal-pathspecs", *words]
        # In files, what is given and said cannot make it wait.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.writelines(name + b"\0" for name in names)
            given.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 the words are ours
                    command,
                    cwd=self.folder,
                    env=self.variables,
                    stdin=given,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                where = "git is not installed" if self.folder.is_dir() else f"there is no folder {self.folder}"
                raise GitFailed(where) from error
            except OSError as error:
                raise GitFailed(f"git cannot be started: {error.strerror}") from error
            printed = _read(process, at_most, self.ends_at)
            said.seek(0)
            words_said = said.read(_SAID_CHARACTERS * 4).decode(errors="replace")
        if len(printed) > at_most:
            raise AnswerTooLong(f"git {words[0]} printed more than {at_most} bytes")
        if process.returncode and time.monotonic() >= self.ends_at:
            raise GitFailed(f"git {words[0]} was not done in time")
        if process.returncode:
            raise GitFailed(_sentence(words_said) or f"git {words[0]} ended with {process.returncode}")
        return printed


def _read(process: "subprocess.Popen[bytes]", at_most: int, ends_at: float) -> bytes:
    """Read what a process prints, and end it with all that it started when that is too much or takes too long."""
    assert process.stdout  # noqa: S101 it is a pipe
    timer = threading.Timer(max(0.0, ends_at - time.monotonic()), _end, (process,))
    timer.daemon = True
    timer.start()
    try:
        printed = process.stdout.read(at_most + 1)
        if len(printed) > at_most:
            _end(process)
        process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        timer.cancel()
        process.stdout.close()
        process.wait()
    return printed


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _sentence(said: str) -> str:
    """Return the first thing that git says is wrong, and the remedy that it gives, in one line."""
    text = " ".join(said.split())
    return re.sub(r"\b(fatal|error): ", "", text)[:_SAID_CHARACTERS]
