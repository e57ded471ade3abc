"""Programs as processes of their own, forked from one interpreter that imported MLflow: that takes seconds, once."""

import atexit
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

_LIBC = ctypes.CDLL(None)
_SECONDS = 300
_ROOT = Path(__file__).parents[2]
# What MLflow imports when a run starts, besides itself.
TRAINING = (
    "mlflow.tracking.fluent",
    "mlflow.store.tracking.sqlalchemy_store",
    "runyard.script",
    "alembic.command",
    "git",
)
# What commands import that look at a store, but none of their own modules: those see what they are started with.
COMMANDS = ("mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.artifact.artifact_repo", "typer")


@dataclass
class Process:
    """A program that runs, or ran."""

    interpreter: "Interpreter"
    pid: int
    output: Path
    errors: Path

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Return the exit code, or the number of the signal that ended it below 0; one that hangs is killed."""
        return self.interpreter.ask({"wait": self.pid}, self.pid)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, and is yet to be waited for."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    @property
    def said(self) -> str:
        """What it wrote to standard output, and to standard error where that is the same file."""
        return self.output.read_text()


class Interpreter:
    """The interpreter that forks; who starts a program waits for its end.

    It imports the modules first, with variables that are read at that time.
    """

    def __init__(self, modules: tuple[str, ...] = TRAINING, environment: Mapping[str, str] | None = None) -> None:
        self._modules, self._environment = modules, environment or {}

    def __enter__(self) -> Self:
        # Without buffers, else `select` would not see what was read already.
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__, *self._modules],
            cwd=_ROOT,
            env={**os.environ, **self._environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.communicate(timeout=_SECONDS)

    def start(self, file: Path, environment: Mapping[str, str], *arguments: str, folder: Path | None = None) -> Process:
        """Start a script in a folder, by default its own; all that it says goes there."""
        place = folder or file.parent
        said = place / f"{file.stem}.out"
        return self._start([str(file), *arguments], place, environment, said, said)

    def start_module(self, module: str, arguments: list[str], folder: Path, said: Path) -> Process:
        """Start a module, as `python -m` does, with this process's environment; what it says goes into a folder."""
        return self._start([module, *arguments], folder, os.environ, said / "out", said / "errors")

    def _start(
        self, command: list[str], folder: Path, environment: Mapping[str, str], output: Path, errors: Path
    ) -> Process:
        # They are there from the beginning, for who looks before the fork has come so far.
        for file in (output, errors):
            file.touch()
        asked = {
            "command": command,
            "folder": str(folder),
            "environment": dict(environment),
            "files": [str(output), str(errors)],
        }
        return Process(self, self.ask(asked), output, errors)

    def ask(self, asked: Mapping[str, object], pid: int | None = None) -> int:
        """Return the number that the server answers; a process that it waits for in vain is killed."""
        into, said = self._server.stdin, self._server.stdout
        assert into
        assert said
        into.write(json.dumps(asked).encode() + b"\n")
        if not select.select([said], [], [], _SECONDS)[0]:
            if pid is None:
                raise TimeoutError(f"no fork within {_SECONDS} s")
            os.kill(pid, signal.SIGKILL)
        return int(said.readline())


def serve() -> list[str]:
    """Fork for each program that is asked for, and say its PID, or how it ended; return in the fork alone."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            say(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]))
            continue
        pid = os.fork()
        if not pid:
            become(asked)
            command: list[str] = asked["command"]
            return command
        say(pid)
    sys.exit()


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def become(asked: dict[str, Any]) -> None:
    """Make this fork what a shell would have started."""
    os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["command"]
    for number, handler in (
        # Under nohup and the like they are ignored, and would stay so.
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGTERM, signal.SIG_DFL),
    ):
        signal.signal(number, handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    # With the exit code, before all that libraries do when a process ends: PyTorch's take a third of a second.
    _LIBC.on_exit(_LIBC["_exit"], None)
    for stream, file in zip((sys.stdout, sys.stderr), asked["files"], strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())


def leave(modules: dict[str, ModuleType]) -> None:
    """Keep modules from the interpreter's end: to take apart what was imported here takes longer than most programs.

    What the program made itself goes as it always does.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(modules))
    for name in modules:
        sys.modules.pop(name, None)


if __name__ == "__main__":
    imported: dict[str, ModuleType] = {}
    # What is registered first is called last.
    atexit.register(leave, imported)
    for module in sys.argv[1:]:
        import_module(module)
    imported.update((name, module) for name, module in sys.modules.items() if name != "__main__")
    # A program that ends need not look through all of that for garbage.
    gc.freeze()
    program = Path(serve()[0])
    # At the top, where what is raised ends the interpreter as it ends any.
    if program.suffix == ".py":
        exec(compile(program.read_text(), program, "exec"), {"__name__": "__main__", "__file__": str(program)})  # noqa: S102
    else:
        runpy.run_module(str(program), run_name="__main__", alter_sys=True)
