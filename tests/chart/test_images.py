"""What the images' files promise to one another."""

import re
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "images"


def instructions(name: str) -> str:
    lines = (IMAGES / name / "Dockerfile").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def test_the_server_and_the_trainings_share_the_large_layer() -> None:
    shared = [instructions(name).partition("\nENV PATH=")[0] for name in ("mlflow", "runtime")]
    assert "--only-group mlflow" in shared[0]
    assert shared[0] == shared[1]


@pytest.mark.parametrize("name", sorted(folder.name for folder in IMAGES.iterdir() if folder.is_dir()))
def test_an_image_runs_as_a_user_that_is_not_root_and_needs_no_frontend(name: str) -> None:
    text = (IMAGES / name / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] == "1000:1000"
    assert "syntax=" not in text
