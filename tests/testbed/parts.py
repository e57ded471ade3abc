"""What the test bed is made of: the one table of versions, and what of it is missing for a goal.

Nothing here does I/O but `inputs`, which reads the recipes that lie beside this file.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

VERSIONS = {
    # Kubernetes 1.35 refuses cgroup v1, which machines without a registry still have.
    "kubernetes": "1.34.4",
    "etcd": "3.6.5",
    "coredns": "1.12.1",
    "pause": "3.10.1",
    "crictl": "1.36.0",
    "kind": "0.33.0",
    "helm": "4.2.4",
    "traefik": "3.6.0",
    "kube-router": "1.5.1",
    "local-path-provisioner": "0.0.30",
    "minio": "0.0.0-20260212201848-7aac2a2c5b7c",
    "uv": "0.13.8",
}

# What a machine with a registry pulls instead of building. The node is kind's own, of the minor version of Kubernetes
# above, with the digest in the release notes of kind's version.
PULLED = {
    "node": "kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d",
    "python": "python:3.12-slim",
    "postgres": "postgres:17",
    "shell": "busybox:1.37",
    "traefik": f"traefik:v{VERSIONS['traefik']}",
}


@dataclass(frozen=True)
class Program:
    """An executable in `bin/<family>-<version>/` of the cache.

    `package` is what Go builds, either in the folder `go/<family>` (modules that carry replace directives cannot be
    installed by name) or, with an @, as a module of its own. `minutes` is about what a cold build takes on two cores.
    """

    name: str
    family: str
    package: str
    minutes: float
    folder: str = ""

    @property
    def version(self) -> str:
        return VERSIONS[self.family]

    @property
    def path(self) -> Path:
        """Where it lies, relative to the cache."""
        return Path("bin", f"{self.family}-{self.version}", self.folder, self.name)


@dataclass(frozen=True)
class Image:
    """An image built from `images/<recipe>`, or, with no recipe, from one program on nothing.

    `programs`, and `host_files` where the machine has them, are put into the build's context; `base` is the image that
    the recipe starts from; `holds` are images that it carries inside.
    """

    tag: str
    minutes: float
    recipe: str = ""
    programs: tuple[str, ...] = ()
    base: str = ""
    holds: tuple[str, ...] = ()
    host_files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        return self.tag


Part = Program | Image


def _kubernetes(name: str, minutes: float) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", minutes)


def _module(name: str, package: str, minutes: float) -> Program:
    return Program(name, name, f"{package}@v{VERSIONS[name]}", minutes)


_PROGRAMS = (
    _kubernetes("kube-apiserver", 4),
    _kubernetes("kubectl", 0.4),
    _kubernetes("kubelet", 0.7),
    _kubernetes("kubeadm", 0.2),
    _kubernetes("kube-controller-manager", 0.4),
    _kubernetes("kube-scheduler", 0.1),
    _kubernetes("kube-proxy", 0.1),
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", 0.3),
    Program("coredns", "coredns", ".", 0.9),
    Program("pause", "pause", ".", 0.1),
    Program("crictl", "crictl", "sigs.k8s.io/cri-tools/cmd/crictl", 0.6),
    Program("kube-router", "kube-router", "github.com/cloudnativelabs/kube-router/cmd/kube-router", 1.3),
    Program("traefik", "traefik", "github.com/traefik/traefik/v3/cmd/traefik", 6.5),
    _module("kind", "sigs.k8s.io/kind", 0.1),
    _module("helm", "helm.sh/helm/v4/cmd/helm", 1.3),
    _module("local-path-provisioner", "github.com/rancher/local-path-provisioner", 1),
    _module("minio", "github.com/minio/minio", 2.5),
    Program("uv", "uv", "uv", 0.2, folder="bin"),
)

DEBIAN = "testbed/debian:12"
PYTHON = "testbed/python:3.11"
POSTGRES = "testbed/postgres:15"
NODE = f"testbed/node:v{VERSIONS['kubernetes']}"
SHELL = "testbed/busybox:1"
KUBERNETES_IMAGES = "registry.k8s.io"

# What a new node has from its first second. The tags are those that kubeadm looks for.
_INSIDE_NODE = (
    *(
        Image(f"{KUBERNETES_IMAGES}/{name}:v{VERSIONS['kubernetes']}", 0.1, programs=(name,))
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    ),
    Image(f"{KUBERNETES_IMAGES}/etcd:{VERSIONS['etcd']}-0", 0.1, programs=("etcd",)),
    Image(f"{KUBERNETES_IMAGES}/coredns/coredns:v{VERSIONS['coredns']}", 0.1, programs=("coredns",)),
    Image(f"{KUBERNETES_IMAGES}/pause:{VERSIONS['pause']}", 0.1, programs=("pause",)),
    Image(
        f"{KUBERNETES_IMAGES}/kube-proxy:v{VERSIONS['kubernetes']}",
        0.2,
        recipe="kube-proxy",
        programs=("kube-proxy", "kube-router"),
        base=DEBIAN,
    ),
    Image("testbed/local-path-provisioner:1", 0.1, programs=("local-path-provisioner",)),
    Image("testbed/traefik:1", 0.1, programs=("traefik",)),
    Image(SHELL, 0.2, recipe="busybox", base=DEBIAN),
    Image(POSTGRES, 0.3, recipe="postgres", base=DEBIAN),
)

_IMAGES = (
    # Package indexes may stand behind an authority that only this machine knows.
    Image(DEBIAN, 1.2, recipe="debian", host_files=(Path("/etc/ssl/certs/ca-certificates.crt"),)),
    Image(PYTHON, 0.2, recipe="python", base=DEBIAN),
    *_INSIDE_NODE,
    Image(
        NODE,
        1,
        recipe="node",
        programs=("kubelet", "kubeadm", "kubectl", "crictl"),
        base=DEBIAN,
        holds=tuple(image.tag for image in _INSIDE_NODE),
    ),
)

PROGRAMS: Mapping[str, Program] = {program.name: program for program in _PROGRAMS}
IMAGES: Mapping[str, Image] = {image.tag: image for image in _IMAGES}
PARTS: Mapping[str, Part] = {**PROGRAMS, **IMAGES}

# What `up` needs on a machine that can pull images, and on one that cannot.
CLUSTER_PROGRAMS = ("kubectl", "kind", "helm")
CLUSTER = (*CLUSTER_PROGRAMS, NODE, PYTHON)


def needs(part: Part) -> tuple[str, ...]:
    """Return the names of the parts that making `part` uses."""
    if isinstance(part, Program):
        return ()
    return (*part.programs, *((part.base,) if part.base else ()), *part.holds)


def missing(wanted: Iterable[str], is_made: Callable[[str], bool]) -> list[Part]:
    """Return what must be made before everything `wanted` is there: each part once, after all that it needs.

    What a finished part was made from is not asked for again.

    Raises:
        KeyError: a wanted name is in no table.

    """
    order: dict[str, Part] = {}

    def visit(name: str) -> None:
        if name in order or is_made(name):
            return
        for needed in needs(PARTS[name]):
            visit(needed)
        order[name] = PARTS[name]

    for name in wanted:
        visit(name)
    return list(order.values())


def inputs(image: Image, here: Path = HERE) -> dict[str, bytes]:
    """Return the files that an image is built from, by name; its programs are not among them."""
    recipe = (here / "images" / image.recipe).iterdir() if image.recipe else ()
    return {file.name: file.read_bytes() for file in sorted((*recipe, *image.host_files)) if file.is_file()}


def key(image: Image, read: Callable[[Image], Mapping[str, bytes]] = inputs) -> str:
    """Return a digest of all that decides an image: its recipe, its programs' versions, the images in it."""
    digest = hashlib.sha256(image.tag.encode())
    for name, content in sorted(read(image).items()):
        digest.update(b"\0file\0" + name.encode() + b"\0" + hashlib.sha256(content).digest())
    for needed in needs(image):
        part = PARTS[needed]
        value = str(part.path) if isinstance(part, Program) else key(part, read)
        digest.update(b"\0part\0" + value.encode())
    return digest.hexdigest()[:16]


def search_path(cache: Path, exists: Callable[[Path], bool], path: str) -> str:
    """Return a PATH with the folders of the table's versions first, each once however often this is done."""
    folders = dict.fromkeys((cache / program.path).parent for program in PROGRAMS.values())
    others = [entry for entry in path.split(":") if entry and Path(entry) not in folders]
    return ":".join([*(str(folder) for folder in folders if exists(folder)), *others])
