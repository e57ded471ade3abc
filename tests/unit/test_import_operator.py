"""The folder `operator/` has a standard-library module's name, and is not in its way."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = "import sys; sys.modules.pop('operator', None); import operator; print(operator.__file__)"


def imported_from(folder: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", SOURCE], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return Path(done.stdout.strip())


def test_operator_is_the_standard_librarys_at_the_root() -> None:
    assert imported_from(ROOT) == Path(sysconfig.get_path("stdlib")) / "operator.py"


@pytest.mark.parametrize("file", ["__init__.py", "../operator.py"])
def test_a_module_in_its_place_would_be_noticed(tmp_path: Path, file: str) -> None:
    (tmp_path / "operator").mkdir()
    shadow = tmp_path / "operator" / file
    shadow.write_text("")
    assert imported_from(tmp_path) == shadow.resolve()
