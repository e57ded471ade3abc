"""What decided a result, found in real repositories and written to a real MLflow."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import mlflow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from runyard import provenance
from runyard.api.source import Source
from runyard.errors import ProvenanceUnavailable
from runyard.prepare import git as prepare
from runyard.provenance.changes import DIFF, LARGEST_NEW_FILE_BYTES
from runyard.provenance.code import Code, find_code
from runyard.provenance.fingerprints import Recipe, canonical, fingerprint
from runyard.provenance.packages import packages, requirements
from runyard.provenance.records import LARGEST_BYTES, read
from runyard.provenance.surroundings import hardware
from runyard.tracking import ARTIFACT_ROOT_VARIABLE
from tests.support.repositories import Repository, new_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    found = new_repository(tmp_path / "project")
    found.commit(train="print(1)\n", sub__model="x = 1\n")
    return found


def code_of(folder: Path, **options: float) -> Code:
    found = find_code(folder, **options)
    assert found is not None
    return found


def test_a_clean_tree_is_its_commit(repository: Repository) -> None:
    found = code_of(repository.folder / "sub")
    assert (found.commit, found.branch, found.address) == (repository.git("rev-parse", "HEAD"), "main", None)
    assert (found.diff, found.diff_digest, found.is_dirty, found.left_out) == (b"", None, False, {})


def test_a_folder_outside_any_repository_has_no_code(tmp_path: Path) -> None:
    assert find_code(tmp_path) is None


def test_a_folder_that_is_none_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceUnavailable, match=r"folder is '.*nowhere', which is no folder: give the one that"):
        find_code(tmp_path / "nowhere")


def test_a_repository_without_a_commit_is_no_missing_repository(tmp_path: Path) -> None:
    found = code_of(new_repository(tmp_path / "new").folder)
    assert (found.commit, found.branch, found.is_dirty) == (None, "main", None)
    assert found.left_out == {"commit": "Needed a single revision"}


def test_a_head_that_is_damaged_is_named(repository: Repository) -> None:
    (repository.folder / ".git" / "HEAD").write_text("nonsense")
    found = code_of(repository.folder / "sub")
    assert found.commit is None
    assert "not a git repository" in found.left_out["commit"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
def test_a_repository_of_another_user_gives_its_commit_and_gits_reason_for_no_more(repository: Repository) -> None:
    commit = repository.git("rev-parse", "HEAD")
    subprocess.run(["chown", "-R", "12345", repository.folder], check=True)
    found = code_of(repository.folder)
    assert (found.commit, found.branch, found.is_dirty) == (commit, "main", None)
    assert "dubious ownership" in found.left_out["diff"]
    assert "git config --global --add safe.directory" in found.left_out["diff"]


@pytest.mark.parametrize("revision", ["main", "v1", None])
def test_what_a_pod_fetched_is_known_to_a_training_without_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str | None
) -> None:
    repository.git("tag", "v1")
    source = Source(git=repository.folder.as_uri(), revision=revision)
    fetched = prepare.fetch(source, tmp_path / "runyard" / "source", None, os.environ)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = code_of(tmp_path / "runyard" / "source" / "sub")
    assert (found.commit, found.branch) == (fetched.commit, fetched.branch)
    assert found.commit == repository_head(repository)
    assert (found.is_dirty, found.left_out) == (None, {"diff": "git is not installed"})


def repository_head(repository: Repository) -> str:
    return (repository.folder / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_a_hooks_environment_does_not_lead_to_another_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = find_code(repository.folder)
    other = new_repository(tmp_path / "other")
    other.commit(x="1")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.folder))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.folder / ".git" / "objects"))
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "0")
    assert find_code(repository.folder) == plain


def test_an_address_is_told_without_its_login(repository: Repository) -> None:
    repository.git("remote", "add", "origin", "https://me:secret@example.org/wine.git")
    found = code_of(repository.folder)
    assert found.address == "https://example.org/wine.git"


def change(repository: Repository) -> None:
    """Change everything that can be changed: text, bytes, modes, names, the index, new files with odd names."""
    folder = repository.folder
    (folder / "train.py").write_text("print(2)\n")
    (folder / "sub" / "model.py").unlink()
    (folder / "staged.py").write_text("y = 1\n")
    repository.git("add", "staged.py")
    (folder / "new file *.py").write_text("ü = 1\n")
    (folder / "ü.py").write_text("u = 1\n")
    (folder / "weights.bin").write_bytes(bytes(range(256)))
    (folder / "link").symlink_to("train.py")
    (folder / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "tool.sh").chmod(0o755)


def test_the_diff_makes_of_the_commit_what_runs_here(repository: Repository, tmp_path: Path) -> None:
    change(repository)
    before = repository.git("status", "--porcelain"), contents(repository.folder / ".git")
    found = code_of(repository.folder)
    # The person's index, objects and files are as they were.
    assert contents(repository.folder / ".git") == before[1]
    assert repository.git("status", "--porcelain") == before[0]

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


@pytest.mark.parametrize("where", ["repository", "person"])
def test_a_persons_settings_do_not_change_the_diff(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (repository.folder / "long.py").write_text("".join(f"def f{n}():\n    return {n}\n\n\n" for n in range(9)))
    repository.commit()
    change(repository)
    (repository.folder / "long.py").write_text(
        "".join(f"def f{n}():\n    return {n + (n in {3, 5})}\n\n\n" for n in (0, 1, 2, 2, 3, 4, 5, 6, 7, 8))
    )
    plain = find_code(repository.folder)
    settings = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    settings.touch()
    for setting, value in (
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.context", "9"),
        ("diff.interHunkContext", "9"),
        ("diff.indentHeuristic", "false"),
        ("diff.suppressBlankEmpty", "true"),
        ("diff.orderFile", str(repository.folder / ".git" / "order")),
        ("diff.ignoreSubmodules", "all"),
        ("diff.renames", "copies"),
        ("diff.relative", "true"),
        ("diff.python.xfuncname", "^x"),
        ("diff.python.binary", "true"),
        ("diff.python.textconv", "false"),
        ("diff.algorithm", "patience"),
        ("core.abbrev", "5"),
        ("color.ui", "always"),
        ("diff.external", "false"),
        ("core.quotePath", "false"),
        ("core.splitIndex", "true"),
        ("core.attributesFile", str(repository.folder / ".git" / "info" / "attributes")),
        ("status.showUntrackedFiles", "no"),
    ):
        repository.git("config", *(("--file", str(settings)) if where == "person" else ()), setting, value)
    (repository.folder / ".git" / "order").write_text("*.sh\n*.py\n")
    (repository.folder / ".git" / "info").mkdir(exist_ok=True)
    (repository.folder / ".git" / "info" / "attributes").write_text("*.py diff=python\n*.sh -diff\n")
    assert find_code(repository.folder) == plain


def test_the_documentation_gives_the_command_that_the_diff_is_made_with() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "provenance.md").read_text()
    command = documented.split("```sh\n")[1].split("```")[0].replace("\\\n", " ").split()
    assert command == ["git", *DIFF, "COMMIT^{tree}", "TREE"]


def test_no_hook_or_program_of_the_repository_runs_because_somebody_looks(
    repository: Repository, tmp_path: Path
) -> None:
    change(repository)
    plain = find_code(repository.folder)
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/seen\n")
    spy.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(spy))
    repository.git("config", "diff.external", str(spy))
    hooks = repository.folder / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(spy, hooks / "post-index-change")
    assert find_code(repository.folder) == plain
    assert not (tmp_path / "seen").exists()


def test_ignored_files_are_no_code_and_large_ones_are_named(repository: Repository) -> None:
    (repository.folder / ".gitignore").write_text("*.log\n")
    repository.commit()
    (repository.folder / "a.log").write_text("ignored")
    (repository.folder / "data.csv").write_bytes(b"0" * (LARGEST_NEW_FILE_BYTES + 1))
    found = code_of(repository.folder)
    assert (found.diff, found.is_dirty) == (b"", True)
    assert found.left_out == {"diff/data.csv": "a new file of more than 1048576 bytes"}


def test_the_stores_own_files_are_no_code(repository: Repository) -> None:
    for name in ("mlflow.db", "mlflow.db-wal", "sub/mlflow.db", "mlruns/0/a", "mlartifacts/1", ".runyard/mlflow.db"):
        file = repository.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"0")
    found = code_of(repository.folder)
    assert (found.diff, found.left_out) == (b"", {})
    (repository.folder / "mlruns.py").write_text("")
    assert b"mlruns.py" in code_of(repository.folder).diff


def test_names_that_are_no_utf8_can_be_recorded(repository: Repository, tmp_path: Path) -> None:
    folder = os.fsencode(repository.folder)
    Path(os.fsdecode(folder + b"/caf\xe9.py")).write_text("x = 1\n")
    Path(os.fsdecode(folder + b"/caf\xe9.csv")).write_bytes(b"0" * (LARGEST_NEW_FILE_BYTES + 1))
    found = provenance.collect(folder=repository.folder, datasets={"caf\udce9": "sha256:1"})
    assert "diff/caf\\xe9.csv" in found.left_out
    assert list(found.datasets) == ["caf\\udce9"]
    assert found.code
    assert b"caf\\351.py" in found.code.diff
    found.save(tmp_path)
    about = json.loads((tmp_path / "provenance.json").read_text())
    assert about["fingerprint"] == found.fingerprint


def test_a_repository_inside_and_a_submodule_with_changes_are_named(repository: Repository, tmp_path: Path) -> None:
    other = new_repository(tmp_path / "other")
    other.commit(x="1")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(other.folder), "vendored")
    repository.commit()
    assert code_of(repository.folder).is_dirty is False
    (repository.folder / "vendored" / "x.py").write_text("2")
    new_repository(repository.folder / "clone").commit(x="1")
    found = code_of(repository.folder)
    assert {*found.left_out} == {"diff/vendored", "diff/clone/"}
    Repository(repository.folder / "vendored").commit()
    assert b"Subproject commit" in code_of(repository.folder).diff


def test_a_repository_whose_names_are_sha256_is_compared_as_well(tmp_path: Path) -> None:
    found = Repository(tmp_path)
    found.git("init", "--quiet", "--object-format=sha256")
    found.commit(train="1")
    (tmp_path / "train.py").write_text("2")
    assert b"-1\n" in code_of(tmp_path).diff


def test_a_change_within_the_moment_of_the_commit_is_seen(repository: Repository) -> None:
    # Same size, same times: only that the index is no younger than the file tells git to look into it.
    repository.git("config", "core.trustctime", "false")
    file, index, moment = repository.folder / "train.py", repository.folder / ".git" / "index", 1_700_000_000
    os.utime(file, (moment, moment))
    repository.git("update-index", "--refresh")
    file.write_text("print(2)\n")
    for path in (file, index):
        os.utime(path, (moment, moment))
    assert b"+print(2)" in code_of(repository.folder).diff


def test_a_repository_without_an_index_is_compared_as_well(repository: Repository) -> None:
    change(repository)
    repository.git("add", ".")
    plain = find_code(repository.folder)
    (repository.folder / ".git" / "index").unlink()
    assert find_code(repository.folder) == plain
    assert not (repository.folder / ".git" / "index").exists()


def test_the_repository_may_be_read_only(repository: Repository) -> None:
    change(repository)
    plain = find_code(repository.folder)
    subprocess.run(["chmod", "-R", "a-w", repository.folder], check=True)
    before = {file: file.stat().st_mtime_ns for file in (repository.folder / ".git").rglob("*")}
    try:
        assert find_code(repository.folder) == plain
        assert {file: file.stat().st_mtime_ns for file in (repository.folder / ".git").rglob("*")} == before
    finally:
        subprocess.run(["chmod", "-R", "u+w", repository.folder], check=True)


def test_files_may_come_and_go_meanwhile(repository: Repository) -> None:
    stop = threading.Event()

    def flicker() -> None:
        while not stop.is_set():
            for number in range(20):
                (repository.folder / f"{number}.tmp").write_text("x")
            for number in range(20):
                (repository.folder / f"{number}.tmp").unlink()

    thread = threading.Thread(target=flicker)
    thread.start()
    try:
        for _ in range(5):
            found = code_of(repository.folder)
            assert found.commit
            assert "diff" not in found.left_out
    finally:
        stop.set()
        thread.join()


def test_git_is_given_up_after_a_while(repository: Repository) -> None:
    repository.git("config", "filter.slow.clean", "sleep 120")
    (repository.folder / ".gitattributes").write_text("*.slow filter=slow\n")
    (repository.folder / "a.slow").write_text("x")
    began = time.monotonic()
    found = code_of(repository.folder, longest_seconds=2)
    assert time.monotonic() - began < 60
    assert (found.commit, found.is_dirty) == (repository.git("rev-parse", "HEAD"), None)
    assert found.left_out["diff"].endswith(" was not done in time")


def test_a_change_that_is_too_large_is_refused_with_the_remedy_before_it_is_all_made(repository: Repository) -> None:
    for number in range(40):
        (repository.folder / f"{number}.bin").write_bytes(os.urandom(LARGEST_NEW_FILE_BYTES))
    with pytest.raises(ProvenanceUnavailable, match=r"takes more than the 17 MB that are recorded: commit it, or name"):
        find_code(repository.folder)


def test_a_changed_file_that_is_large_is_named(repository: Repository) -> None:
    (repository.folder / "train.py").write_bytes(b"0" * (16 * LARGEST_NEW_FILE_BYTES + 1))
    assert code_of(repository.folder).left_out == {"diff/train.py": "a changed file of more than 16777216 bytes"}


def test_a_recipe_in_words_has_the_fingerprint_that_the_documentation_gives() -> None:
    recipe = Recipe(
        commit="b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2",
        image="sha256:" + "0" * 64,
        command=("train.py", "--seed=0"),
        parameters={"n_estimators": "200", "max_depth": "8"},
        datasets={"heart": "sha256:" + "1" * 64},
        seeds={"random_state": "0"},
        python="3.12.4",
        packages={"scikit-learn": "1.7.2", "model": "0.1 @ ./libs/model"},
        left_out=("diff/data.csv",),
        workers=2,
    )
    written = (
        '{"command":["train.py","--seed=0"],"commit":"b5c0b187fe309af0f4d35982fd961d7e1b1ae3c2",'
        f'"datasets":{{"heart":"sha256:{"1" * 64}"}},"fingerprint":1,"image":"sha256:{"0" * 64}",'
        '"left_out":["diff/data.csv"],"packages":{"model":"0.1 @ ./libs/model","scikit-learn":"1.7.2"},'
        '"parameters":{"max_depth":"8","n_estimators":"200"},"python":"3.12.4","seeds":{"random_state":"0"},"workers":2}'
    )
    assert canonical(recipe).decode() == written
    assert fingerprint(recipe) == f"sha256:{hashlib.sha256(written.encode()).hexdigest()}"
    documented = (Path(__file__).parents[2] / "docs" / "provenance.md").read_text()
    assert fingerprint(recipe) in documented
    assert written in documented


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


@given(st.lists(names, max_size=5, unique=True))
def test_what_is_left_out_counts_in_any_order_and_nothing_inside_a_member_is_left_out(left_out: list[str]) -> None:
    one, backwards = Recipe(left_out=tuple(left_out)), Recipe(left_out=tuple(reversed(left_out)))
    assert canonical(one) == canonical(backwards)
    assert (canonical(one) == canonical(Recipe())) == (not left_out)
    assert b'"parameters":{"empty":""}' in canonical(Recipe(parameters={"empty": ""}))


def test_all_that_is_known_counts_and_the_machine_never() -> None:
    bare = provenance.collect()
    assert bare.recipe.packages["mlflow"] == version("mlflow")
    for changed in (
        replace(bare, python="3.99"),
        replace(bare, image="sha256:" + "0" * 64),
        replace(bare, packages={}),
        replace(bare, command=("other.py",)),
        replace(bare, workers=2),
        replace(bare, seeds={"a": "1"}),
        replace(bare, datasets={"a": "sha256:1"}),
        replace(bare, left_out={**bare.left_out, "diff/data.csv": "a new file"}),
    ):
        assert bare.fingerprint != changed.fingerprint
    assert bare.fingerprint == replace(bare, hardware=replace(bare.hardware, cpus=99)).fingerprint
    reworded = dict.fromkeys(bare.left_out, "in other words")
    assert bare.fingerprint == replace(bare, left_out=reworded).fingerprint


def test_numbers_are_text_as_python_writes_them() -> None:
    found = provenance.collect(parameters={"rate": 1e-05, "share": 0.1, "rows": 10**20, "warm": True, "none": None})
    assert found.parameters == {
        "rate": "1e-05",
        "share": "0.1",
        "rows": "100000000000000000000",
        "warm": "True",
        "none": "None",
    }


def told_by(*words: str, folder: Path, **variables: str) -> dict[str, object]:
    """Return what a process knows of how it was started."""
    text = "import json; from runyard import provenance as p; f = p.collect(); "
    text += "print(json.dumps([f.command, f.workers, f.image, f.script, f.left_out]))"
    (folder / "train.py").write_text(text)
    answer = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(("command", "workers", "image", "script", "left_out"), json.loads(answer.stdout), strict=True))


def test_a_process_knows_its_command_wherever_the_code_lies(tmp_path: Path) -> None:
    data = str(tmp_path / "fetched" / "heart")
    digest = "sha256:" + "3" * 64
    words = ("-O", "sub/../train.py", "--data", f"--rows={data}/a.csv", "--seed", "0")
    variables = {"RUNYARD_DATASET_HEART": data, "WORLD_SIZE": "4", "RUNYARD_IMAGE_DIGEST": digest}
    for name in ("one", "other"):
        folder = new_repository(tmp_path / name).folder
        (folder / "sub").mkdir()
        found = told_by(*words, folder=folder, **variables)
        rows = "--rows=$(RUNYARD_DATASET_HEART)/a.csv"
        assert found["command"] == ["-O", "train.py", "--data", rows, "--seed", "0"]
        assert (found["workers"], found["image"]) == (4, digest)


def test_a_program_outside_any_repository_is_its_digest_and_its_name(tmp_path: Path) -> None:
    found = told_by(str(tmp_path / "train.py"), folder=tmp_path)
    digest = hashlib.sha256((tmp_path / "train.py").read_bytes()).hexdigest()
    assert (found["command"], found["script"]) == (["train.py"], f"sha256:{digest}")
    assert (found["workers"], found["image"]) == (None, None)


def test_a_console_has_no_command_and_that_is_said(tmp_path: Path) -> None:
    text = "import json; from runyard import provenance; print(json.dumps(provenance.collect().left_out))"
    answer = subprocess.run([sys.executable], input=text, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["command"] == "a notebook or a console was not started with what it ran"


def test_an_images_digest_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNYARD_IMAGE_DIGEST", "wine:1")
    with pytest.raises(ProvenanceUnavailable, match="RUNYARD_IMAGE_DIGEST is 'wine:1', which is no digest of an image"):
        provenance.collect()


def installed(folder: Path, name: str, direct_url: object) -> None:
    """Install a distribution as far as its metadata goes."""
    about = folder / f"{name}-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    text = direct_url if isinstance(direct_url, str) else json.dumps(direct_url)
    (about / "direct_url.json").write_text(text)


def test_packages_that_no_index_has_are_known_by_where_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, root, commit, digest = tmp_path / "site", tmp_path / "project", "a" * 40, "b" * 64
    git = {"url": "https://me:secret@example.org/lib.git", "vcs_info": {"vcs": "git", "commit_id": commit}}
    installed(site, "Of_Git", git)
    installed(site, "of-wheel", {"url": "https://x.org/w.whl", "archive_info": {"hashes": {"sha256": digest}}})
    installed(site, "of-old", {"url": "https://x.org/w.whl", "archive_info": {"hash": f"sha256={digest}"}})
    installed(site, "unhashed", {"url": "https://x.org/w.whl", "archive_info": {}})
    inside, outside = (root / "libs" / "a b").as_uri(), (tmp_path / "elsewhere").as_uri()
    installed(site, "ours", {"url": inside, "dir_info": {"editable": True}})
    installed(site, "root", {"url": root.as_uri(), "dir_info": {"editable": True}})
    installed(site, "copied", {"url": inside, "dir_info": {}})
    installed(site, "theirs", {"url": outside, "dir_info": {"editable": True}})
    installed(site, "damaged", "{")
    monkeypatch.syspath_prepend(str(site))
    found, left_out = packages(root)
    assert found["mlflow"] == version("mlflow")
    expected = {
        "of-git": f"0.1 @ git+https://example.org/lib.git@{commit}",
        "of-wheel": f"0.1 @ https://x.org/w.whl#sha256={digest}",
        "of-old": f"0.1 @ https://x.org/w.whl#sha256={digest}",
        "unhashed": "0.1 @ https://x.org/w.whl",
        "ours": "0.1 @ ./libs/a b",
        "root": "0.1 @ .",
        "copied": "0.1 @ ./libs/a b",
        "theirs": f"0.1 @ {outside}",
        "damaged": "0.1",
    }
    assert {name: found[name] for name in expected} == expected
    unknown = {name for name in left_out if name.removeprefix("packages/") in expected}
    assert unknown == {"packages/unhashed", "packages/copied", "packages/theirs", "packages/damaged"}
    assert requirements({name: found[name] for name in ("of-git", "root", "damaged")}) == (
        f"of-git @ git+https://example.org/lib.git@{commit}\n# root==0.1, from .\ndamaged==0.1\n"
    )


@pytest.mark.parametrize(
    ("files", "cpus", "memory"),
    [
        ({"cpu.max": "50000 100000\n", "memory.max": "1000\n"}, 0.5, 1000),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000", "memory.max": "max"}, 0.5, None),
        ({"cpu.max": "max 100000\n", "memory/memory.limit_in_bytes": "2000"}, None, 2000),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
    ],
)
def test_a_containers_limits_count(
    tmp_path: Path, files: dict[str, str], cpus: float | None, memory: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    bare, found = hardware(tmp_path / "nowhere"), hardware(tmp_path)
    assert (found.cpus, found.memory_bytes) == (cpus or bare.cpus, memory or bare.memory_bytes)


def test_an_nvidia_smi_that_may_not_be_run_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware().gpus == ()


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
    assert about["left_out"] == found.left_out
    assert about["hardware"]["cpus"] > 0
    assert f"mlflow=={version('mlflow')}\n" in (files / "requirements.txt").read_text()


def test_parameters_that_are_on_their_way_count(
    store: mlflow.MlflowClient, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, asked = store._tracking_client.store._async_logging_queue, threading.Event()  # noqa: SLF001
    write, flush = queue._logging_func, mlflow.flush_async_logging  # noqa: SLF001

    def write_when_asked(*given: object, **named: object) -> None:
        asked.wait(20)
        write(*given, **named)

    def ask() -> None:
        asked.set()
        flush()

    monkeypatch.setattr(queue, "_logging_func", write_when_asked)
    monkeypatch.setattr(mlflow, "flush_async_logging", ask)
    with mlflow.start_run():
        mlflow.log_params({"max_depth": 8}, synchronous=False)
        assert provenance.log(folder=repository.folder).parameters == {"max_depth": "8"}


def test_a_fingerprint_repeats_where_the_store_lies_beside_the_code(
    store: mlflow.MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    beside = Repository(tmp_path)
    beside.git("init", "--quiet")
    (tmp_path / "train.py").write_text("pass")
    beside.git("add", "train.py")
    beside.git("commit", "--quiet", "-m", "code")
    store.create_experiment("beside", artifact_location=(tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "beside")

    def logged() -> provenance.Provenance:
        with mlflow.start_run():
            return provenance.log(folder=tmp_path)

    one, other = logged(), logged()
    assert [*(tmp_path / "mlruns").rglob("provenance.json")]
    assert one.fingerprint == other.fingerprint
    assert other.code
    assert other.code.is_dirty is False


def test_what_was_written_is_read_back(store: mlflow.MlflowClient, repository: Repository) -> None:
    with mlflow.start_run() as active:
        found = provenance.log(folder=repository.folder)
    about = read(store, active.info.run_id)
    assert about["fingerprint"] == found.fingerprint
    with mlflow.start_run() as active:
        mlflow.log_param("a", 1)
    assert read(store, active.info.run_id) == {}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> mlflow.MlflowClient:
    """One store for tests that look at a run of their own."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as context:
        context.setenv(ARTIFACT_ROOT_VARIABLE, (folder / "artifacts").as_uri())
        client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        client.create_experiment("shared")
        return client


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"python": NaN}', "not JSON"),
        (b"[]", r"not what runyard.provenance writes \(it\)"),
        (b'{"packages": {"a": 1}}', r"not what runyard.provenance writes \(packages.a\)"),
        (b'{"code": "main"}', r"not what runyard.provenance writes \(code\)"),
        (b'{"command": "train.py"}', r"not what runyard.provenance writes \(command\)"),
        (b'{"workers": "8"}', r"not what runyard.provenance writes \(workers\)"),
        (b'{"hardware": {"gpus": ["A100", 1]}}', r"not what runyard.provenance writes \(hardware.gpus.1\)"),
        (b'"' + b" " * LARGEST_BYTES + b'"', f"no file of at most {LARGEST_BYTES} bytes"),
        (None, f"no file of at most {LARGEST_BYTES} bytes"),
    ],
)
def test_what_anybody_may_have_written_is_not_trusted(
    shared: mlflow.MlflowClient, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "provenance.json"
    if content is None:
        file.mkdir()
        (file / "one-of-many").write_text("")
    else:
        file.write_bytes(content)
    run_id = shared.create_run(shared.get_experiment_by_name("shared").experiment_id).info.run_id
    if content is None:
        shared.log_artifacts(run_id, str(file), "runyard/provenance.json")
    else:
        shared.log_artifact(run_id, str(file), "runyard")
    with pytest.raises(ProvenanceUnavailable, match=f"runyard/provenance.json of run {run_id} is {said}: look at it"):
        read(shared, run_id)


def test_the_same_again_has_the_same_fingerprint_and_another_parameter_another(
    store: mlflow.MlflowClient, repository: Repository
) -> None:
    def logged(max_depth: int) -> str:
        with mlflow.start_run():
            mlflow.log_param("max_depth", max_depth)
            return provenance.log(folder=repository.folder).fingerprint

    assert logged(8) == logged(8) != logged(9)
    assert store.search_experiments()


def test_the_manifests_parameters_count_before_they_are_logged(
    store: mlflow.MlflowClient, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def autologged(depth: str) -> provenance.Provenance:
        monkeypatch.setenv("PARAM_DEPTH", depth)
        mlflow.sklearn.autolog(log_models=False, log_datasets=False)
        with mlflow.start_run():
            found = provenance.log(folder=repository.folder)
            tree = DecisionTreeClassifier(max_depth=int(os.environ["PARAM_DEPTH"])).fit([[0], [1]], [0, 1])
        assert tree.max_depth == int(depth)
        return found

    try:
        shallow, deep, again = autologged("1"), autologged("8"), autologged("8")
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert shallow.parameters == {"DEPTH": "1"}
    experiment = store.get_experiment_by_name("science").experiment_id
    assert {run.data.params["max_depth"] for run in store.search_runs([experiment])} == {"1", "8"}
    assert shallow.fingerprint != deep.fingerprint == again.fingerprint
    monkeypatch.setenv("PARAM_", "of no name")
    assert provenance.collect(folder=repository.folder).parameters == {"DEPTH": "8"}


def test_what_was_logged_keeps_its_fingerprint_whatever_the_manifest_gives(
    store: mlflow.MlflowClient, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logged() -> provenance.Provenance:
        with mlflow.start_run():
            mlflow.log_params({"rate": 0.001, "more": 1})
            return provenance.log(folder=repository.folder)

    bare = logged()
    monkeypatch.setenv("PARAM_rate", "1e-3")
    assert logged().fingerprint == bare.fingerprint
    assert bare.parameters == {"rate": "0.001", "more": "1"}
    asked = provenance.collect(folder=repository.folder, parameters={"rate": 0.001, "more": 1})
    assert (asked.parameters, asked.fingerprint) == (bare.parameters, bare.fingerprint)
    assert store


def test_without_a_run_it_is_told_where_to_call_it(store: mlflow.MlflowClient) -> None:
    with pytest.raises(ProvenanceUnavailable, match=r"call provenance.log inside mlflow.start_run\(\)"):
        provenance.log()
    assert store
