"""Whichever image the database is, it keeps what the chart relies on: variables, any user, a read-only root."""

import subprocess
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.support.waiting import wait_for
from tests.testbed.cluster import existing_route

pytestmark = pytest.mark.cluster

Start = Callable[..., str]
# A volume's root belongs to root; the database wants a folder of its own.
FOLDER = "/var/lib/postgresql/data/pgdata"


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the database as the chart does, with the variables given; return the container's name."""
    way = existing_route()
    assert way, "there is no cluster: run `make cluster`"
    names: list[str] = []

    def started(user: str, **variables: str) -> str:
        names.append(f"postgres-{uuid4().hex[:6]}")
        writable = (f"--tmpfs={path}:mode=1777" for path in ("/tmp", "/var/run/postgresql", "/var/lib/postgresql/data"))  # noqa: S108
        env = (f"--env={name}={value}" for name, value in {**variables, "PGDATA": FOLDER}.items())
        name = f"--name={names[-1]}"
        done = docker("run", "--detach", "--read-only", f"--user={user}", name, *writable, *env, way.postgres_image)
        assert done.returncode == 0, done.stderr
        return names[-1]

    yield started
    docker("rm", "--force", "--volumes", *names)


def ask(container: str, query: str, *, user: str, database: str, password: str) -> str | None:
    login = ["--host=127.0.0.1", f"--username={user}", f"--dbname={database}"]
    done = docker("exec", f"--env=PGPASSWORD={password}", container, "psql", *login, "-Atc", query)
    return done.stdout.strip() if done.returncode == 0 else None


@pytest.mark.parametrize("user", ["999:999", "12345:12345"], ids=["its own user", "another user"])
def test_it_makes_the_user_and_the_database_that_it_is_told(start: Start, user: str) -> None:
    told = {"POSTGRES_USER": "mlflow", "POSTGRES_DB": "tracking", "POSTGRES_PASSWORD": "secret"}
    container = start(user, **told, POSTGRES_INITDB_ARGS="--data-checksums")
    login = {"user": "mlflow", "database": "tracking", "password": told["POSTGRES_PASSWORD"]}

    def answer() -> str | None:
        return ask(container, "show data_directory; show data_checksums", **login)

    assert wait_for("the database answers", answer).splitlines() == [FOLDER, "on"]
    assert ask(container, "select 1", **{**login, "password": "other"}) is None


def test_it_reads_the_password_from_a_file(start: Start) -> None:
    file = "/etc/hostname"
    container = start("999:999", POSTGRES_PASSWORD_FILE=file)
    password = docker("exec", container, "cat", file).stdout.strip()

    def answer() -> str | None:
        return ask(container, "select current_user", user="postgres", database="postgres", password=password)

    assert wait_for("the database answers", answer) == "postgres"


def test_it_refuses_to_start_without_a_password(start: Start) -> None:
    container = start("999:999")
    assert docker("wait", container).stdout.strip() == "1"
    assert "POSTGRES_PASSWORD" in docker("logs", container).stderr
