"""What decided a result, found in real repositories and written to a real MLflow."""

import hashlib
import json
import os
import subprocess
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import provenance
from runyard.errors import ProvenanceUnavailable
from runyard.provenance.code import LARGEST_NEW_FILE_BYTES, find_code
from runyard.provenance.fingerprints import Recipe, canonical, fingerprint
from tests.support.repositories import Repository, new_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    found = new_repository(tmp_path / "project")
    found.commit(train="print(1)\n", sub__model="x = 1\n")
    return found


def test_a_clean_tree_is_its_commit(repository: Repository) -> None:
    found = find_code(repository.folder / "sub")
    assert found is not None
    assert (found.commit, found.branch, found.address) == (repository.git("rev-parse", "HEAD"), "main", None)
    assert (found.diff, found.diff_digest, found.is_dirty) == (b"", None, False)


def test_a_folder_outside_any_repository_has_no_code(tmp_path: Path) -> None:
    assert find_code(tmp_path) is None


def test_a_repository_without_a_commit_has_no_code(tmp_path: Path) -> None:
    assert find_code(new_repository(tmp_path / "new").folder) is None


def test_an_address_is_told_without_its_login(repository: Repository) -> None:
    repository.git("remote", "add", "origin", "https://me:secret@example.org/wine.git")
    found = find_code(repository.folder)
    assert found is not None
    assert found.address == "https://example.org/wine.git"


def change(repository: Repository) -> None:
    """Change everything that can be changed: text, bytes, modes, names, the index, new files with odd names."""
    folder = repository.folder
    (folder / "train.py").write_text("print(2)\n")
    (folder / "sub" / "model.py").unlink()
    (folder / "staged.py").write_text("y = 1\n")
    repository.git("add", "staged.py")
    (folder / "new file *.py").write_text("ü = 1\n")
    (folder / "weights.bin").write_bytes(bytes(range(256)))
    (folder / "link").symlink_to("train.py")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)


def test_the_diff_makes_of_the_commit_what_runs_here(repository: Repository, tmp_path: Path) -> None:
    change(repository)
    before = repository.git("status", "--porcelain"), (repository.folder / ".git" / "index").read_bytes()
    found = find_code(repository.folder)
    assert found is not None
    # The person's index and files are as they were.
    assert before == (repository.git("status", "--porcelain"), (repository.folder / ".git" / "index").read_bytes())

    copy = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", repository.folder, copy], check=True)
    subprocess.run(["git", "-C", copy, "apply", "--binary", "-"], input=found.diff, check=True)
    assert contents(copy) == contents(repository.folder)


def contents(folder: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(file.relative_to(folder)): (
            str(file.readlink()).encode() if file.is_symlink() else file.read_bytes(),
            os.access(file, os.X_OK),
        )
        for file in sorted(folder.rglob("*"))
        if ".git" not in file.relative_to(folder).parts and (file.is_file() or file.is_symlink())
    }


def test_a_persons_settings_do_not_change_the_diff(repository: Repository) -> None:
    change(repository)
    plain = find_code(repository.folder)
    for setting, value in (
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.context", "9"),
        ("diff.algorithm", "patience"),
        ("core.abbrev", "5"),
        ("color.ui", "always"),
        ("diff.external", "false"),
        ("core.quotePath", "false"),
        ("status.showUntrackedFiles", "no"),
    ):
        repository.git("config", setting, value)
    assert find_code(repository.folder) == plain


def test_ignored_files_are_no_code_and_large_ones_are_named(repository: Repository) -> None:
    repository.commit()
    (repository.folder / ".gitignore").write_text("*.log\n")
    repository.git("add", ".gitignore")
    repository.git("commit", "--quiet", "-m", "ignore")
    (repository.folder / "a.log").write_text("ignored")
    (repository.folder / "data.csv").write_bytes(b"0" * (LARGEST_NEW_FILE_BYTES + 1))
    found = find_code(repository.folder)
    assert found is not None
    assert (found.diff, found.left_out, found.is_dirty) == (b"", ("data.csv",), True)


def test_a_change_that_is_too_large_is_refused_with_the_remedy(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runyard.provenance.code.LARGEST_DIFF_BYTES", 1_000_000)
    (repository.folder / "train.py").write_text("".join(f"x = {number}\n" for number in range(200_000)))
    with pytest.raises(ProvenanceUnavailable, match=r"takes 2 MB, and 1 MB are the most .*: commit it, or name data"):
        find_code(repository.folder)


def test_a_recipe_in_words_has_the_fingerprint_that_the_documentation_gives() -> None:
    recipe = Recipe(
        commit="b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2",
        image="sha256:" + "0" * 64,
        command=("python", "train.py", "--seed=0"),
        parameters={"n_estimators": "200", "max_depth": "8"},
        datasets={"heart": "sha256:" + "1" * 64},
        seeds={"random_state": "0"},
    )
    written = (
        '{"command":["python","train.py","--seed=0"],"commit":"b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2",'
        f'"datasets":{{"heart":"sha256:{"1" * 64}"}},"fingerprint":1,"image":"sha256:{"0" * 64}",'
        '"parameters":{"max_depth":"8","n_estimators":"200"},"seeds":{"random_state":"0"},"workers":1}'
    )
    assert canonical(recipe).decode() == written
    assert fingerprint(recipe) == f"sha256:{hashlib.sha256(written.encode()).hexdigest()}"
    documented = (Path(__file__).parents[2] / "docs" / "provenance.md").read_text()
    assert fingerprint(recipe) in documented


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@given(st.dictionaries(names, names), st.dictionaries(names, names))
def test_the_order_in_which_things_were_said_does_not_matter_and_all_else_does(
    one: dict[str, str], other: dict[str, str]
) -> None:
    backwards = dict(reversed(one.items()))
    assert fingerprint(Recipe(parameters=one)) == fingerprint(Recipe(parameters=backwards))
    assert (fingerprint(Recipe(parameters=one)) == fingerprint(Recipe(parameters=other))) == (one == other)
    if one:
        assert fingerprint(Recipe(parameters=one)) != fingerprint(Recipe(seeds=one))


@given(st.dictionaries(names, names, max_size=5))
def test_names_are_sorted_as_rfc_8785_sorts_them(parameters: dict[str, str]) -> None:
    found = list(json.loads(canonical(Recipe(parameters=parameters))).get("parameters", {}))
    assert found == sorted(parameters, key=lambda name: [*memoryview(name.encode("utf-16-be")).cast("B")])


def test_an_image_settles_packages_and_python_and_the_machine_never_counts() -> None:
    bare = provenance.collect()
    assert bare.recipe.packages["mlflow"] == version("mlflow")
    in_image = replace(bare, image="sha256:" + "0" * 64)
    assert in_image.fingerprint == replace(in_image, packages={}, python="3.99").fingerprint
    assert bare.fingerprint != replace(bare, python="3.99").fingerprint
    assert bare.fingerprint == replace(bare, hardware=replace(bare.hardware, cpus=99)).fingerprint


def test_a_dataset_is_its_files_digest(tmp_path: Path) -> None:
    file = tmp_path / "heart.csv"
    file.write_bytes(b"age,sex\n63,male\n")
    summed = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True).stdout.split()[0]
    known = "sha256:" + "2" * 64
    found = provenance.collect(datasets={"heart": file, "text": str(file), "known": known})
    assert found.datasets == {"heart": f"sha256:{summed}", "text": f"sha256:{summed}", "known": known}


def test_a_dataset_that_is_not_there_is_named_with_the_remedy() -> None:
    said = r"datasets\['heart'\] is 'nowhere.csv', which cannot be read \(No such file or directory\): give a file, or"
    with pytest.raises(ProvenanceUnavailable, match=said):
        provenance.collect(datasets={"heart": "nowhere.csv"})


def test_it_is_written_to_the_active_run(store: mlflow.MlflowClient, repository: Repository, tmp_path: Path) -> None:
    change(repository)
    with mlflow.start_run() as active:
        mlflow.log_params({"max_depth": 8})
        found = provenance.log(seeds={"random_state": 0}, folder=repository.folder)
    run = store.get_run(active.info.run_id)
    assert found.parameters == {"max_depth": "8"}
    assert run.data.tags["runyard.dev/fingerprint"] == found.fingerprint
    assert run.data.tags["mlflow.source.git.commit"] == repository.git("rev-parse", "HEAD")
    assert run.data.tags["runyard.dev/uncommitted"] == "true"
    files = Path(store.download_artifacts(run.info.run_id, "runyard", str(tmp_path)))
    assert found.code is not None
    assert (files / "uncommitted.diff").read_bytes() == found.code.diff
    about = json.loads((files / "provenance.json").read_text())
    assert about["fingerprint"] == found.fingerprint
    assert about["code"]["diff"] == found.code.diff_digest
    assert about["hardware"]["cpus"] >= 1
    assert f"mlflow=={version('mlflow')}\n" in (files / "requirements.txt").read_text()


def test_the_same_again_has_the_same_fingerprint_and_another_parameter_another(
    store: mlflow.MlflowClient, repository: Repository
) -> None:
    def logged(max_depth: int) -> str:
        with mlflow.start_run():
            mlflow.log_param("max_depth", max_depth)
            return provenance.log(folder=repository.folder).fingerprint

    assert logged(8) == logged(8) != logged(9)
    assert store.search_experiments()


def test_without_a_run_it_is_told_where_to_call_it(store: mlflow.MlflowClient) -> None:
    with pytest.raises(ProvenanceUnavailable, match=r"call provenance.log inside mlflow.start_run\(\)"):
        provenance.log()
    assert store
