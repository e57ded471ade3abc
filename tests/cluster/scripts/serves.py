"""Serves a repository by git's own server at port 8080, and a file at 8081; prints the repository's commit."""

from pathlib import Path
from threading import Event

from tests.support.repositories import git_server, new_repository
from tests.support.web import content, web_server

ROOT = Path("/repositories")
TRAINING = """
import os
import pathlib

import mlflow

data = pathlib.Path(os.environ["RUNYARD_DATASET_WINE"])
with mlflow.start_run():
    mlflow.log_metric("rows", len(data.read_text().splitlines()) - 1)
print("trained with", data, "in", pathlib.Path.cwd())
"""

repository = new_repository(ROOT / "wine")
commit = repository.commit(training__train=TRAINING)
with (
    git_server(ROOT, at=("", 8080)),
    web_server({"/wine.csv": content(b"alcohol,class\n14.2,0\n13.2,1\n")}, at=("", 8081)),
):
    print(commit, flush=True)
    Event().wait()
