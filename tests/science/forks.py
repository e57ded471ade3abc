"""Scripts as processes of their own, forked from one interpreter that has imported MLflow: that takes seconds, once."""

import gc
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

_SECONDS = 60
_ROOT = Path(__file__).parents[2]


@dataclass
class Process:
    """A script that runs, or ran."""

    interpreter: "Interpreter"
    pid: int
    output: Path

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code, or the number of the signal that ended it below 0; one that hangs is killed."""
        return self.interpreter.answer(self.pid)

    @property
    def said(self) -> str:
        """What it wrote to standard output and error."""
        return self.output.read_text()


class Interpreter:
    """The interpreter that forks; one script at a time."""

    def __enter__(self) -> Self:
        # Without buffers, else `select` would not see what was read already.
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.communicate(timeout=_SECONDS)

    def start(self, file: Path, environment: Mapping[str, str]) -> Process:
        """Start a script in its folder."""
        assert self._server.stdin
        asked = {"file": str(file), "environment": dict(environment)}
        self._server.stdin.write(json.dumps(asked).encode() + b"\n")
        return Process(self, self.answer(), file.with_suffix(".out"))

    def answer(self, pid: int | None = None) -> int:
        """Return the next number that the server says; a process that it waits for in vain is killed."""
        said = self._server.stdout
        assert said
        if not select.select([said], [], [], _SECONDS)[0]:
            if pid is None:
                raise TimeoutError(f"no fork within {_SECONDS} s")
            os.kill(pid, signal.SIGKILL)
        return int(said.readline())


def serve() -> Path:
    """Fork for each script that is asked for, and say its PID, then how it ended; return in the fork alone."""
    for line in sys.stdin:
        asked = json.loads(line)
        file = Path(asked["file"])
        pid = os.fork()
        if not pid:
            become(file, asked["environment"])
            return file
        say(pid)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    sys.exit()


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def become(file: Path, environment: Mapping[str, str]) -> None:
    """Make this fork what a shell would have started."""
    os.setsid()
    os.chdir(file.parent)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(file)]
    for number, handler in (
        # Under nohup and the like they are ignored, and would stay so.
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        signal.signal(number, handler)
    output = os.open(file.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, descriptor)


if __name__ == "__main__":
    for module in (
        "mlflow.tracking.fluent",
        "mlflow.store.tracking.sqlalchemy_store",
        "runyard.script",
        # What MLflow imports when a run starts.
        "alembic.command",
        "git",
    ):
        import_module(module)
    # A script that ends need not look through all of that for garbage.
    gc.freeze()
    script = serve()
    # At the top, where what is raised ends the interpreter as it ends any.
    exec(compile(script.read_text(), script, "exec"), {"__name__": "__main__", "__file__": str(script)})  # noqa: S102
