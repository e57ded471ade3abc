"""The test bed's commands: see README.md."""

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

from tests.testbed import cluster, debian, docker, loading, own, programs
from tests.testbed.cluster import Route
from tests.testbed.parts import CLUSTER, CLUSTER_PROGRAMS, IMAGES, PARTS, PROGRAMS, PYTHON, Part, Program, key, missing
from tests.testbed.shell import CACHE, TestbedError, alone, duration, say, step

Step = tuple[str, float, Callable[[], None]]


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="testbed.py", description="A real Kubernetes cluster for the tests.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    tools_parser = commands.add_parser("tools", help="make programs, all of them if none is named; print their folders")
    tools_parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PROGRAMS))
    for name, text in (
        ("browser", "install Chromium where it is missing"),
        ("env", "print variables for eval: PATH, KUBECONFIG, and with a cluster RUNYARD_VALUES"),
        ("up", "bring the cluster up, with all that it needs"),
        ("down", "remove the cluster; what was built is kept"),
    ):
        commands.add_parser(name, help=text)
    images_parser = commands.add_parser("images", help="build the project's images and load them into the cluster")
    every = (*own.NAMES, *own.HEAVY)
    images_parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(every)}; all but {', '.join(own.HEAVY)} if none is named"
    )
    chosen = parser.parse_args(arguments)
    try:
        match chosen.command:
            case "tools":
                tools(chosen.names)
            case "browser":
                with alone():
                    debian.ensure("chromium")
            case "env":
                env()
            case "up":
                up()
            case "images":
                images(chosen.names)
            case _:
                down()
    except TestbedError as error:
        say(f"testbed: {error}")
        return 1
    except KeyboardInterrupt:
        say("testbed: interrupted; what was finished is kept")
        return 130
    return 0


def tools(names: list[str]) -> None:
    """Make programs; print the folder of each once.

    Raises:
        TestbedError: a name is not in the table, or a build failed.

    """
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        raise TestbedError(f"no program is called {', '.join(unknown)}; there are {', '.join(PROGRAMS)}")
    wanted = names or list(PROGRAMS)
    if missing(wanted, _has_program):
        with alone():
            _perform([_making(part) for part in missing(wanted, _has_program)])
    for folder in dict.fromkeys((CACHE / PROGRAMS[name].path).parent for name in wanted):
        print(folder)  # noqa: T201


def env() -> None:
    """Print shell assignments."""
    variables = programs.environment()
    way = cluster.existing_route()
    if way:
        variables["RUNYARD_VALUES"] = str(way.values)
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")  # noqa: T201


def up() -> None:
    """Bring the cluster up, making only what is not there."""
    start = time.monotonic()
    with alone():
        docker.ensure_daemon()
        way = cluster.route()
        parts = _missing(way, CLUSTER_PROGRAMS if way is Route.REGISTRY else CLUSTER)
        steps = [_making(part) for part in parts]
        if PARTS.get(way.node_image) in parts or not cluster.exists(way):
            steps.append((f"creating the cluster {cluster.NAME}", 0.6, lambda: cluster.create(way)))
        steps.append(("ingress, network policies, volumes", 0.3, lambda: cluster.complete(way)))
        _perform(steps)
        docker.prune()
    say(f"the cluster is up after {duration(time.monotonic() - start)}: KUBECONFIG={cluster.KUBECONFIG}")


def images(names: list[str]) -> None:
    """Build the project's images, and load those whose content the cluster does not have.

    Raises:
        TestbedError: a name is not of an image, or a build failed.

    """
    unknown = [name for name in names if name not in {*own.NAMES, *own.HEAVY}]
    if unknown:
        raise TestbedError(f"no image is called {', '.join(unknown)}; there are {', '.join((*own.NAMES, *own.HEAVY))}")
    wanted = names or own.NAMES
    with alone():
        way = cluster.route()
        mine = [own.image(name, way) for name in wanted]
        below = () if way is Route.REGISTRY else (PYTHON, *(["minio"] if "minio" in wanted else []))
        steps = [_making(part) for part in _missing(way, below)]
        steps += [(f"building {image.tags[0]}", image.minutes, partial(docker.build, image)) for image in mine]
        tags = [tag for image in mine for tag in image.tags]
        loading_minutes = sum(8 if name in own.HEAVY else 0.1 for name in wanted)
        steps.append(("loading images into the cluster", loading_minutes, partial(_load, tags)))
        _perform(steps)
        docker.prune()
    for image in mine:
        say(f"{image.tags[0]} {docker.megabytes(image.tags[0]):.0f} MB")


def down() -> None:
    """Remove the cluster."""
    with alone():
        if cluster.existing_route():
            cluster.delete()


def _load(tags: list[str]) -> None:
    changed = loading.load(tags)
    say(f"loaded: {', '.join(changed) or 'nothing, the cluster has them all'}")


def _has_program(name: str) -> bool:
    return name in PROGRAMS and programs.is_made(PROGRAMS[name])


def _missing(way: Route, wanted: Iterable[str]) -> list[Part]:
    if way is Route.REGISTRY:
        return missing(wanted, lambda name: _has_program(name) or shutil.which(name) is not None)
    made = docker.made_images()
    return missing(wanted, lambda name: _has_program(name) or (name in IMAGES and made.get(name) == key(IMAGES[name])))


def _making(part: Part) -> Step:
    make: Callable[[], None] = (
        (lambda: programs.make(part)) if isinstance(part, Program) else (lambda: docker.make(part))
    )
    return f"building {part.name}", part.minutes, make


def _perform(steps: list[Step]) -> None:
    for number, (title, minutes, act) in enumerate(steps, 1):
        with step(title, number, len(steps), minutes):
            act()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
