"""The test bed's pure part: what is missing for a goal, what an image is keyed by, which programs are found."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.waiting import wait_for
from tests.testbed import cluster, debian, own, parts, programs, runc_bounded, shell
from tests.testbed.cluster import Node, Route, farewell, manifests, node_state, route_of
from tests.testbed.loading import absent, outdated, untagged
from tests.testbed.parts import CLUSTER, DEBIAN, IMAGES, NODE, PARTS, POSTGRES, PROGRAMS, PYTHON, Image

KUBE_PROXY = next(tag for tag in IMAGES if "kube-proxy" in tag)


def missing(wanted: tuple[str, ...], made: set[str]) -> list[str]:
    return [part.name for part in parts.missing(wanted, lambda name: name in made)]


def test_nothing_is_missing_when_the_wanted_is_made() -> None:
    assert missing(CLUSTER, set(CLUSTER)) == []


def test_a_program_is_missing_alone() -> None:
    assert missing(("etcd", "kubectl"), {"kubectl"}) == ["etcd"]


def test_a_finished_image_does_not_ask_for_what_it_was_made_from() -> None:
    assert missing((NODE,), {NODE}) == []


def test_images_lost_with_their_programs_kept_are_all_that_is_made_again() -> None:
    assert set(missing(CLUSTER, set(PROGRAMS))) == set(IMAGES)


def test_from_nothing_each_part_is_made_once_and_after_what_it_needs() -> None:
    order = missing(CLUSTER, set())
    assert len(order) == len(set(order))
    for name in order:
        assert all(order.index(needed) < order.index(name) for needed in parts.needs(PARTS[name]))


def test_a_cluster_does_not_need_what_only_other_goals_do() -> None:
    assert {"minio", "uv"}.isdisjoint(missing(CLUSTER, set()))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(KeyError):
        missing(("kubctl",), set())


def with_recipe(tag: str, files: Mapping[str, bytes]) -> Callable[[Image], Mapping[str, bytes]]:
    return lambda image: files if image.tag == tag else {"Dockerfile": b"FROM scratch"}


def test_a_key_is_the_same_for_the_same_inputs() -> None:
    assert parts.key(IMAGES[NODE]) == parts.key(IMAGES[NODE])


@pytest.mark.parametrize(
    "files",
    [{"Dockerfile": b"FROM other"}, {"Dockerfile": b"FROM scratch", "more": b""}, {"Containerfile": b"FROM scratch"}],
    ids=["content", "another file", "name"],
)
def test_a_key_changes_with_the_recipe(files: dict[str, bytes]) -> None:
    before = with_recipe(POSTGRES, {"Dockerfile": b"FROM scratch"})
    assert parts.key(IMAGES[POSTGRES], before) != parts.key(IMAGES[POSTGRES], with_recipe(POSTGRES, files))


@pytest.mark.parametrize("tag", [PYTHON, POSTGRES, KUBE_PROXY, NODE])
def test_a_change_of_the_base_reaches_every_image_on_it(tag: str) -> None:
    before, after = (with_recipe(DEBIAN, {"Dockerfile": text}) for text in (b"FROM scratch", b"FROM other"))
    assert parts.key(IMAGES[tag], before) != parts.key(IMAGES[tag], after)


def test_a_change_of_an_image_inside_the_node_reaches_the_node_alone() -> None:
    before, after = (with_recipe(KUBE_PROXY, {"Dockerfile": text}) for text in (b"FROM scratch", b"FROM other"))
    changed = {tag for tag in IMAGES if parts.key(IMAGES[tag], before) != parts.key(IMAGES[tag], after)}
    assert changed == {KUBE_PROXY, NODE}


def test_a_new_version_of_a_program_reaches_the_images_that_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {tag: parts.key(image) for tag, image in IMAGES.items()}
    monkeypatch.setitem(parts.VERSIONS, "traefik", "99.0.0")
    changed = {tag for tag, image in IMAGES.items() if parts.key(image) != before[tag]}
    assert changed == {"testbed/traefik:1", NODE}


def test_what_the_machine_adds_to_an_image_is_among_its_inputs(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.crt"
    image = Image("x", 1, recipe="busybox", host_files=(authorities,))
    assert set(parts.inputs(image)) == {"Dockerfile"}
    authorities.write_text("one")
    assert parts.inputs(image)["ca.crt"] == b"one"


def test_the_path_has_the_versions_of_the_table_first_and_each_once() -> None:
    cache = Path("/cache")
    there = {cache / "bin/helm-0.0.1", *(cache / f"bin/{name}-{parts.VERSIONS[name]}" for name in ("helm", "kind"))}
    path = parts.search_path(cache, there.__contains__, "/usr/bin:/bin")
    helm, kind = (f"/cache/bin/{name}-{parts.VERSIONS[name]}" for name in ("helm", "kind"))
    assert path.split(":") == [kind, helm, "/usr/bin", "/bin"]
    assert parts.search_path(cache, there.__contains__, path) == path


def test_programs_lie_where_the_rest_of_the_project_looks() -> None:
    assert PROGRAMS["kubectl"].path == Path(f"bin/kubernetes-{parts.VERSIONS['kubernetes']}/kubectl")
    assert PROGRAMS["uv"].path == Path(f"bin/uv-{parts.VERSIONS['uv']}/bin/uv")
    makefile = (parts.HERE.parents[1] / "Makefile").read_text()
    assert f"UV_VERSION := {parts.VERSIONS['uv']}\n" in makefile


@pytest.mark.parametrize(
    ("family", "module"),
    [
        ("kubernetes", "k8s.io/kubernetes"),
        ("etcd", "go.etcd.io/etcd/server/v3"),
        ("coredns", "github.com/coredns/coredns"),
        ("crictl", "sigs.k8s.io/cri-tools"),
        ("kube-router", "github.com/cloudnativelabs/kube-router"),
        ("traefik", "github.com/traefik/traefik/v3"),
    ],
)
def test_a_module_is_pinned_to_the_version_in_the_table(family: str, module: str) -> None:
    required = (parts.HERE / "go" / family / "go.mod").read_text()
    assert re.search(
        rf"^(require )?\s*{re.escape(module)} v{re.escape(parts.VERSIONS[family])}$", required, re.MULTILINE
    )


def test_minio_is_the_same_wherever_it_is_built() -> None:
    dockerfile = (parts.HERE.parents[1] / "images" / "minio" / "Dockerfile").read_text()
    assert f"ARG MINIO=v{parts.VERSIONS['minio']}\n" in dockerfile


def test_the_node_runs_the_pause_image_that_it_holds() -> None:
    pause = next(tag for tag in IMAGES if "/pause:" in tag)
    assert f'sandbox_image = "{pause}"' in (parts.HERE / "images" / "node" / "containerd.toml").read_text()


@pytest.mark.parametrize("way", list(Route))
def test_a_new_cluster_is_given_images_that_it_can_have(way: Route) -> None:
    named = {tag for text in manifests(way) for tag in re.findall(r"image: (\S+)", text)}
    if way is Route.PACKAGES:
        assert named | {way.postgres_image, way.shell_image} <= set(IMAGES[NODE].holds)
    else:
        assert named == {parts.PULLED["traefik"]}
        assert "imagePullPolicy: Never" not in "".join(manifests(way))


def inspected(image_id: str, *, running: bool) -> dict[str, object]:
    return {"State": {"Running": running}, "Image": image_id, "Config": {"Image": f"node:1@{image_id}"}}


@pytest.mark.parametrize(
    ("found", "wanted", "state"),
    [
        (None, "a", Node.ABSENT),
        (inspected("a", running=False), "a", Node.STALE),
        (inspected("b", running=True), "a", Node.STALE),
        (inspected("a", running=True), "a", Node.RUNNING),
        (inspected("a", running=True), "node:1@a", Node.RUNNING),
        (inspected("a", running=True), "node:1@b", Node.STALE),
    ],
    ids=["absent", "down", "another image", "good", "good by name", "another name"],
)
def test_a_node_is_kept_only_if_it_runs_on_the_wanted_image(
    found: dict[str, object] | None, wanted: str, state: Node
) -> None:
    assert node_state(found, wanted) is state


def test_nothing_is_deleted_without_a_word() -> None:
    assert farewell(Node.ABSENT) is None
    for state in (Node.STALE, Node.RUNNING):
        assert "deleting the cluster runyard, with all that is installed and stored in it: " in str(farewell(state))


def test_both_routes_run_the_same_kubernetes() -> None:
    minor = parts.VERSIONS["kubernetes"].rsplit(".", 1)[0]
    assert re.match(rf"kindest/node:v{re.escape(minor)}\.\d+@sha256:[0-9a-f]{{64}}$", parts.PULLED["node"])


@pytest.mark.parametrize(
    ("owner", "image", "image_id", "goes"),
    [
        ("ReplicaSet", "runyard/operator:0.1.0", "docker.io/library/import@sha256:new", False),
        ("ReplicaSet", "runyard/operator:0.1.0", "sha256:id", False),
        ("ReplicaSet", "runyard/operator:0.1.0", "docker.io/library/import@sha256:old", True),
        ("StatefulSet", "runyard/operator:0.1.0", "docker.io/library/import@sha256:old", True),
        ("Job", "runyard/operator:0.1.0", "docker.io/library/import@sha256:old", False),
        ("ReplicaSet", "someone/else:1", "sha256:other", False),
        ("ReplicaSet", "runyard/operator:0.1.0", "", False),
    ],
    ids=["by digest", "by id", "older", "older, stateful", "a job's", "not ours", "not started"],
)
def test_a_server_goes_when_its_image_was_built_anew(owner: str, image: str, image_id: str, *, goes: bool) -> None:
    pod = {
        "metadata": {"namespace": "runyard", "name": "x", "ownerReferences": [{"kind": owner}]},
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": {"containerStatuses": [{"name": "main", "imageID": image_id}]},
    }
    tag = "runyard/operator:0.1.0"
    digests = ["docker.io/library/import@sha256:new"]
    images = {"images": [{"id": "sha256:id", "repoDigests": digests, "repoTags": [f"docker.io/{tag}"]}]}
    assert outdated({"items": [pod]}, images, [tag]) == ([("runyard", "x")] if goes else [])


def test_only_images_that_the_node_lacks_are_loaded() -> None:
    def image(name: str, image_id: str, *digests: str) -> dict[str, object]:
        return {"id": image_id, "repoDigests": list(digests), "repoTags": [f"docker.io/{name}"]}

    there = [
        image("a:1", "sha256:a"),
        image("b:1", "sha256:config", "docker.io/b@sha256:b"),
        image("c:1", "sha256:older"),
    ]
    ids = {"a:1": "sha256:a", "b:1": "sha256:b", "c:1": "sha256:c", "d:1": "sha256:a"}
    assert absent(ids, {"images": there}) == ["c:1", "d:1"]


def test_what_a_newer_image_replaced_is_taken_out_of_the_node() -> None:
    images = [
        {"id": "now", "repoDigests": ["docker.io/a@sha256:now"], "repoTags": ["docker.io/a:1"]},
        {"id": "before", "repoDigests": ["docker.io/a@sha256:before"], "repoTags": []},
        {"id": "another's", "repoDigests": ["docker.io/b@sha256:b"], "repoTags": []},
        {"id": "nobody's", "repoDigests": [], "repoTags": []},
    ]
    assert untagged({"images": images}, ["a:1"]) == ["before"]


def test_an_images_inputs_are_all_that_its_recipe_takes() -> None:
    assert own.sources(
        "FROM a\nCOPY a b ./\nRUN --mount=from=uv,source=/uv,target=/uv \\\n --mount=source=c,target=c x\n"
    ) == [*("a", "b", "c")]
    assert own.sources((own.ROOT / "images/operator/Dockerfile").read_text()) == [
        *("LICENSE", "README.md", "operator", "pyproject.toml", "src", "uv.lock")
    ]
    taken = own.read((own.ROOT / "images/runtime/Dockerfile").read_text())
    assert {"uv.lock", "pyproject.toml", "operator/pyproject.toml", "examples/wine/train.py"} <= taken.keys()
    assert not any("__pycache__" in path for path in taken)


def test_an_images_digest_changes_with_each_input() -> None:
    before = own.digest("FROM a", {"a": b"1", "b": b"2"}, "base")
    assert before == own.digest("FROM a", {"b": b"2", "a": b"1"}, "base")
    others = [
        own.digest("FROM b", {"a": b"1", "b": b"2"}, "base"),
        own.digest("FROM a", {"a": b"1", "b": b"3"}, "base"),
        own.digest("FROM a", {"a": b"1b", "": b"2"}, "base"),
        own.digest("FROM a", {"a": b"1", "b": b"2"}, "another"),
    ]
    assert len({before, *others}) == 5


@pytest.mark.parametrize("way", list(Route))
def test_an_image_of_ours_has_one_tag_the_projects_version_and_says_what_it_is_of(way: Route) -> None:
    version = tomllib.loads((own.ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name in (*own.NAMES, *own.HEAVY):
        built = own.image(name, way)
        assert built.tags == (f"runyard/{name}:{version}",)
        assert re.fullmatch("[0-9a-f]{64}", built.labels[own.INPUTS_LABEL])
    assert {*own.NAMES, *own.HEAVY} == {file.parent.name for file in (own.ROOT / "images").glob("*/Dockerfile")}
    for script in (own.ROOT / "examples").glob("*/train.py"):
        image = "pytorch" if "\nimport torch\n" in script.read_text() else "runtime"
        for manifest in script.parent.glob("*.yaml"):
            assert f"  image: runyard/{image}:{version}\n" in manifest.read_text(), manifest


def test_each_route_names_its_own_images_and_values() -> None:
    images = {way: {way.node_image, way.python_image, way.postgres_image, way.shell_image} for way in Route}
    assert images[Route.REGISTRY] < set(parts.PULLED.values())
    assert images[Route.PACKAGES] < set(IMAGES)
    assert all(way.values.exists() for way in Route)


def test_a_cluster_is_known_by_its_node_image_whatever_the_version() -> None:
    assert [route_of(way.node_image) for way in Route] == list(Route)
    assert route_of("testbed/node:v1.0.0") is Route.PACKAGES


def test_packages_are_asked_for_by_what_is_not_found() -> None:
    wanted = ("dockerd", "iptables", "chromium")
    assert debian.missing_packages(wanted, iter(["iptables"])) == ["docker.io", "chromium"]
    assert debian.missing_packages(wanted, iter(wanted)) == []


def test_who_cannot_install_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(shell.TestbedError, match=r"not on PATH: docker\.io, chromium\. Install it"):
        debian.ensure("dockerd", "chromium")


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "CACHE", tmp_path)
    go = tmp_path / "path" / "go"
    go.parent.mkdir()
    go.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\necho half >"$2"\necho out of memory\nexit 2\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    etcd = PROGRAMS["etcd"]
    with pytest.raises(shell.TestbedError, match=r"ended with 2:\nout of memory"):
        programs.make(etcd)
    assert not programs.is_made(etcd)
    go.write_text(go.read_text().replace("exit 2", "exit 0"))
    programs.make(etcd)
    assert (tmp_path / etcd.path).read_text() == "half\n"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(shell.TestbedError, match="runyard-nowhere is not installed"):
        shell.run(["runyard-nowhere"])


def test_a_program_that_fails_is_quoted() -> None:
    with pytest.raises(shell.TestbedError, match=r"^sh -c echo no such pod >&2; exit 3 … ended with 3:\nno such pod$"):
        shell.read_json(["sh", "-c", "echo no such pod >&2; exit 3"])


def test_a_program_that_does_not_end_is_told_with_the_seconds() -> None:
    with pytest.raises(shell.TestbedError, match=r"^sleep 60 … did not end in 0 s$"):
        shell.demand(["sleep", "60"], timeout_seconds=0.1)


def test_a_cluster_that_is_late_with_its_answer_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl, asked = tmp_path / "kubectl", tmp_path / "asked"
    kubectl.write_text(f"""#!/bin/sh
test -e {asked} && echo '{{"items": []}}' || {{ touch {asked}; echo "etcdserver: request timed out" >&2; exit 1; }}
""")
    kubectl.chmod(0o755)
    monkeypatch.setattr(cluster, "_found", lambda _program: str(kubectl))
    assert cluster.pods() == {"items": []}


def test_kubernetes_programs_are_stamped_as_kubeadm_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "CACHE", tmp_path)
    commands: list[list[str]] = []

    def build(command: list[str | Path], **_: object) -> None:
        commands.append([str(word) for word in command])
        Path(command[command.index("-o") + 1]).touch()

    monkeypatch.setattr(programs, "run", build)
    programs.make(PROGRAMS["kubeadm"])
    programs.make(PROGRAMS["etcd"])
    stamps = ["component-base/version.gitVersion=v" in " ".join(command) for command in commands]
    assert stamps == [True, False]


def holding_the_lock(cache: Path) -> subprocess.Popen[str]:
    script = "from tests.testbed.shell import alone\nwith alone(): print('in', flush=True); input()"
    pipe = subprocess.PIPE
    command, root = [sys.executable, "-c", script], parts.HERE.parents[1]
    env = {"RUNYARD_CACHE": str(cache)}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=root, env=env)


def test_a_second_command_waits_for_the_first(tmp_path: Path) -> None:
    with holding_the_lock(tmp_path) as first:
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        with holding_the_lock(tmp_path) as second:
            assert second.stderr
            assert second.stderr.readline().startswith("waiting")
            # The lock goes with its holder, however that ends.
            first.kill()
            assert second.communicate("\n", timeout=60)[0] == "in\n"


def test_a_step_says_that_it_goes_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "HEARTBEAT_SECONDS", 0.01)
    said = ""

    def has_gone_on() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "[3/14] … still building kube-apiserver, 0 s\n" in said

    with shell.step("building kube-apiserver", 3, 14, 5):
        wait_for("a line that the step goes on", has_gone_on)
    assert said.startswith("[3/14] building kube-apiserver (about 5 min) …\n")
    assert capsys.readouterr().err.endswith("[3/14] done in 0 s\n")


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["--root", "/run", "create", "--bundle", "/b", "id"], Path("/b/config.json")),
        (["exec", "--process", "/run/p", "id"], Path("/run/p")),
        (["kill", "id", "9"], None),
    ],
)
def test_runc_is_about_to_read_a_bundle_or_a_process(arguments: list[str], file: Path | None) -> None:
    assert runc_bounded.specification(arguments) == file


def test_a_container_is_given_no_capability_that_the_machine_lacks() -> None:
    # Every one of the kernel's 41 but CAP_SYS_RESOURCE, the 25th.
    have = runc_bounded.bounding_set(f"Name:\tx\nCapBnd:\t{(1 << 41) - 1 - (1 << 24):016x}\n")
    process = {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"]}}
    kept = {"args": ["sh"], "capabilities": {"bounding": ["CAP_CHOWN"]}}
    assert runc_bounded.bounded({"process": process, "root": {}}, have) == {"process": kept, "root": {}}
    assert runc_bounded.bounded(process, have) == kept
    assert runc_bounded.bounded({"args": ["sh"]}, have) == {"args": ["sh"]}


def test_the_commands_run_before_any_environment_exists(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(parts.HERE / "testbed.py"), "env"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"RUNYARD_CACHE": str(tmp_path)})
    assert f"export KUBECONFIG={tmp_path}/kubeconfig" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tools", "no program is called kubctl; there are kube-apiserver,"),
        ("images", "no image is called kubctl; there are mlflow, operator, runtime, dashboard, minio, pytorch\n"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_exist(command: str, said: str) -> None:
    words = [sys.executable, str(parts.HERE / "testbed.py"), command, "kubctl"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"testbed: {said}")
    assert "Traceback" not in done.stderr
