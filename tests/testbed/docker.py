"""Docker: a daemon, whether it can pull images, and images of our own."""

import functools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.testbed import debian
from tests.testbed.parts import HERE, IMAGES, PROGRAMS, Image, inputs, key
from tests.testbed.programs import scratch
from tests.testbed.shell import CACHE, TestbedError, answer, run, say

KEY_LABEL = "runyard.testbed.key"
START_SECONDS = 60


def is_running() -> bool:
    """Whether a daemon answers."""
    return answer(["docker", "version", "--format", "{{.Server.Version}}"], timeout_seconds=15) is not None


def ensure_daemon() -> None:
    """Start a daemon if none answers, which only root on a Debian can do.

    Raises:
        TestbedError: there is no daemon, and this user or machine cannot start one.

    """
    if is_running():
        return
    if not debian.can_install():
        raise TestbedError(
            "Docker does not answer: start it, or run as root on Debian, where the test bed starts one itself"
        )
    debian.ensure("dockerd", "iptables")
    _start_daemon()


def _start_daemon() -> None:
    say("starting dockerd …")
    home = CACHE / "docker"
    home.mkdir(parents=True, exist_ok=True)
    runtime = home / "runc-bounded"
    shutil.copy(HERE / "runc_bounded.py", runtime)
    command = ["dockerd", "--storage-driver=overlay2", f"--add-runtime=bounded={runtime}", "--default-runtime=bounded"]
    deadline = time.monotonic() + START_SECONDS
    daemon: subprocess.Popen[bytes] | None = None
    while not is_running():
        if time.monotonic() > deadline:
            tail = "\n".join((home / "dockerd.log").read_text(errors="replace").splitlines()[-10:])
            raise TestbedError(f"dockerd did not come up in {START_SECONDS} s:\n{tail}")
        # A daemon that is still going down holds its pid file, and the new one ends at once: start it again.
        if daemon is None or daemon.poll() is not None:
            with (home / "dockerd.log").open("ab") as log:
                daemon = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        time.sleep(0.5)


def can_pull(image: str, timeout_seconds: float = 15) -> bool:
    """Whether a registry answers for an image."""
    return answer(["docker", "manifest", "inspect", image], timeout_seconds) is not None


def made_images() -> dict[str, str]:
    """Return the tags of the table's images that Docker has, each with the key it was built for."""
    command = ["docker", "image", "inspect", *IMAGES]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {
        tag: ((found["Config"] or {}).get("Labels") or {}).get(KEY_LABEL, "")
        for found in json.loads(printed or "[]")
        for tag in found["RepoTags"]
    }


@dataclass(frozen=True)
class Build:
    """What `docker build` is told."""

    context: Path
    tags: tuple[str, ...]
    dockerfile: Path
    arguments: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)
    minutes: float = 1


def make(image: Image) -> None:
    """Build one of the table's images; its tag moves to it only when it is finished."""
    with scratch() as context:
        for name, content in inputs(image).items():
            (context / name).write_bytes(content)
        for name in image.programs:
            _link(CACHE / PROGRAMS[name].path, context / name)
        if image.recipe == "debian":
            _link(_debian_root(), context / "root.tar")
        if not image.recipe:
            (context / "Dockerfile").write_text(_program_on_nothing(image.programs[0]))
        if image.holds:
            run(["docker", "save", "--output", context / "images.tar", *image.holds])
        arguments = {"BASE": image.base} if image.base else {}
        build(Build(context, (image.tag,), context / "Dockerfile", arguments, {KEY_LABEL: key(image)}))


def build(wanted: Build) -> None:
    """Run `docker build`.

    Raises:
        TestbedError: the build failed.

    """
    options = [
        *(f"--tag={tag}" for tag in wanted.tags),
        *(f"--build-arg={name}={value}" for name, value in wanted.arguments.items()),
        *(f"--label={name}={value}" for name, value in wanted.labels.items()),
        f"--file={wanted.dockerfile}",
    ]
    env = {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    run([_building_client(), "build", *options, wanted.context], env=env)


def prune() -> None:
    """Remove the test bed's images, and images based on them, whose tag a newer build has taken."""
    run(["docker", "image", "prune", "--force", f"--filter=label={KEY_LABEL}"])


def megabytes(tag: str) -> float:
    """Return an image's size."""
    return int(answer(["docker", "image", "inspect", "--format={{.Size}}", tag]) or 0) / 1e6


@functools.cache
def _building_client() -> str:
    """Return a docker client that can build: one before 23 by itself, a later one only with the buildx plugin."""
    for client in ("docker", "/usr/bin/docker"):
        if answer([client, "buildx", "version"]) is not None:
            return client
        version = answer([client, "version", "--format", "{{.Client.Version}}"]) or ""
        if version and int(version.split(".")[0]) < 23:
            return client
    raise TestbedError("no docker client here can build images: install docker-buildx")


def _debian_root() -> Path:
    root = CACHE / "roots" / "debian-12.tar"
    if not root.exists():
        debian.ensure("debootstrap")
        root.parent.mkdir(parents=True, exist_ok=True)
        with scratch() as folder:
            run(["debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", folder / "root"])
            unwanted = (
                "var/cache/apt",
                "var/lib/apt/lists",
                "usr/share/doc",
                "usr/share/man",
                "usr/share/locale",
                "var/log",
            )
            run(
                [
                    "tar",
                    "-C",
                    folder / "root",
                    "-cf",
                    folder / "tar",
                    *(f"--exclude=./{path}/*" for path in unwanted),
                    ".",
                ]
            )
            (folder / "tar").rename(root)
    return root


def _program_on_nothing(name: str) -> str:
    place = f"/usr/local/bin/{name}"
    return f'FROM scratch\nCOPY {name} {place}\nENV PATH=/usr/local/bin\nENTRYPOINT ["{place}"]\n'


def _link(source: Path, target: Path) -> None:
    """Put a file into a build's context without a copy where the file system allows."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
