"""What the images' files promise to one another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

IMAGES = Path(__file__).parents[2] / "images"
TELLS_WHAT_THE_SERVER_USES = """
from mlflow.store.artifact.artifact_repo import MultipartDownloadMixin, MultipartUploadMixin
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
store = get_artifact_repository("s3://bucket")
print(isinstance(store, (MultipartDownloadMixin, MultipartUploadMixin)))
"""


def instructions(name: str) -> str:
    lines = (IMAGES / name / "Dockerfile").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def test_the_server_the_trainings_and_the_dashboard_share_the_large_layer() -> None:
    shared = [instructions(name).partition("\nENV PATH=")[0] for name in ("mlflow", "runtime", "dashboard", "pytorch")]
    assert "--only-group mlflow" in shared[0]
    assert len(set(shared)) == 1


@pytest.mark.parametrize("name", sorted(file.parent.name for file in IMAGES.glob("*/Dockerfile")))
def test_an_image_runs_as_a_user_that_is_not_root_and_needs_no_frontend(name: str) -> None:
    text = (IMAGES / name / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] == "1000:1000"
    assert "syntax=" not in text


@pytest.mark.parametrize(("plugin", "is_direct"), [(False, "True"), (True, "False")])
def test_the_servers_object_store_offers_no_way_around_the_server(plugin: bool, is_direct: str) -> None:  # noqa: FBT001
    path = str(IMAGES / "mlflow" / "plugin") if plugin else ""
    done = subprocess.run(
        [sys.executable, "-c", TELLS_WHAT_THE_SERVER_USES],
        env={**os.environ, "PYTHONPATH": path, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    # Without the plugin MLflow still goes around: when it no longer does, the plugin can go.
    assert done.stdout.strip() == is_direct
