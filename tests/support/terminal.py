"""A terminal that a program is started at: what it draws there can be read."""

import os
import pty
import re
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

_COMMAND = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)|\x1b")


class Terminal:
    """A program whose standard error, or all of it, is a terminal of 100 columns."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, everything: bool = False) -> None:
        self._drawn = bytearray()
        keyboard, screen = pty.openpty()
        termios.tcsetwinsize(screen, (30, 100))  # tqdm asks the terminal, and draws nothing where that has no width
        self.process = subprocess.Popen(
            command,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
            stdin=subprocess.DEVNULL,
            stdout=screen if everything else subprocess.PIPE,
            stderr=screen,
        )
        os.close(screen)
        self._reader = threading.Thread(target=self._read, args=(keyboard,), daemon=True)
        self._reader.start()

    @property
    def drawn(self) -> str:
        """All that was drawn so far, what was rubbed out again included; without colours and moves."""
        return "".join(found[4] or "\n" for found in self._commands() if found[4] or found[3] == "\n")

    @property
    def left(self) -> str:
        """What is left to be seen of it."""
        lines, row, column = [""], 0, 0
        for found in self._commands():
            number, command, end, text = found.groups()
            if end:
                row, column = (row + 1, column) if end == "\n" else (row, 0)
                lines += [""] * (row + 1 - len(lines))
            elif text:
                before = lines[row].ljust(column)
                lines[row] = before[:column] + text + before[column + len(text) :]
                column += len(text)
            elif command == "A":
                row = max(0, row - int(number or 1))
            elif command == "K":
                lines[row] = {"": lines[row][:column], "0": lines[row][:column], "2": ""}[number]
        return "\n".join(line.rstrip() for line in lines)

    def _commands(self) -> list[re.Match[str]]:
        return list(_COMMAND.finditer(self._drawn.decode(errors="ignore")))

    def ends(self, timeout_seconds: float = 120) -> tuple[int, str]:
        """Wait for its end; return its exit code and what came out beside the terminal."""
        out, _ = self.process.communicate(timeout=timeout_seconds)
        self._reader.join(10)
        return self.process.returncode, (out or b"").decode()

    def _read(self, keyboard: int) -> None:
        with suppress(OSError):  # nobody has the screen any more
            while content := os.read(keyboard, 65536):
                self._drawn += content
        os.close(keyboard)
