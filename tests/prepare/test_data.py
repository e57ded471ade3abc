"""Datasets from a web server, from MinIO and from a volume."""

import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from runyard.api.datasets import Dataset
from runyard.prepare.data import fetch
from runyard.prepare.failures import Unprepared
from tests.support.apiserver import free_port, running
from tests.support.programs import program
from tests.support.waiting import wait_for
from tests.support.web import content, refusal, web_server

TABLE = b"alcohol,quality\n" + b"12.5,7\n" * 300_000
DIGEST = f"sha256:{hashlib.sha256(TABLE).hexdigest()}"
ANOTHER = f"sha256:{'0' * 64}"


def breaks_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(TABLE)))
    request.end_headers()
    request.wfile.write(TABLE[:1000])


def goes_elsewhere(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", "/wine.csv")
    request.end_headers()


def goes_to_a_file(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", "file:///etc/passwd")
    request.end_headers()


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    answers = {
        "/wine.csv": content(TABLE),
        "/moved": goes_elsewhere,
        "/file": goes_to_a_file,
        "/private": refusal(403),
        "/broken": refusal(503),
        "/half": breaks_off,
    }
    with web_server(answers) as address:
        yield address


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MinIO with the table in the bucket `data`; its address."""
    import boto3

    folder, port = tmp_path_factory.mktemp("minio"), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [program("minio"), "server", "--address", f"127.0.0.1:{port}", str(folder / "data")]
    account = {"MINIO_ROOT_USER": "reader", "MINIO_ROOT_PASSWORD": "let-me-in"}
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="reader",
        aws_secret_access_key="let-me-in",  # noqa: S106 the test's own
        region_name="us-east-1",
    )

    def is_up() -> bool:
        try:
            client.list_buckets()
        except Exception:  # noqa: BLE001 whatever keeps it from answering
            return False
        return True

    with running(command, folder / "minio.log", account):
        wait_for("MinIO answers", is_up, timeout_seconds=60)
        client.create_bucket(Bucket="data")
        client.put_object(Bucket="data", Key="wines/red and white.csv", Body=TABLE)
        yield address


@pytest.fixture
def signed_in(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that every client of S3 knows."""
    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": "let-me-in",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("digest", [DIGEST, None], ids=["verified", "found"])
@pytest.mark.parametrize("path", ["wine.csv", "wine.csv?signature=abc", "moved"])
def test_a_file_comes_from_a_web_server(web: str, tmp_path: Path, digest: str | None, path: str) -> None:
    found = fetch(Dataset(name="wine", uri=f"{web}/{path}", digest=digest), tmp_path)
    assert (found.name, found.digest) == ("wine", DIGEST)
    assert [file.name for file in tmp_path.iterdir()] == ["wine"]
    assert (tmp_path / "wine").read_bytes() == TABLE


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("digest", [DIGEST, None], ids=["verified", "found"])
def test_a_file_comes_from_a_store(tmp_path: Path, digest: str | None) -> None:
    found = fetch(Dataset(name="wine", uri="s3://data/wines/red and white.csv", digest=digest), tmp_path)
    assert found.digest == DIGEST
    assert (tmp_path / "wine").read_bytes() == TABLE


@pytest.mark.parametrize("digest", [DIGEST, None], ids=["verified", "found"])
def test_a_file_on_a_volume_is_linked_to(tmp_path: Path, digest: str | None) -> None:
    (tmp_path / "the volume").mkdir()
    file = tmp_path / "the volume" / "wine.csv"
    file.write_bytes(TABLE)
    uri = file.as_uri()
    assert "%20" in uri
    assert fetch(Dataset(name="wine", uri=uri, digest=digest), tmp_path / "datasets").digest == DIGEST
    assert (tmp_path / "datasets" / "wine").readlink() == file


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("where", ["web", "store", "volume"])
def test_another_content_is_not_there_to_train_with(web: str, tmp_path: Path, where: str) -> None:
    (tmp_path / "wine.csv").write_bytes(TABLE)
    uris = {
        "web": f"{web}/wine.csv",
        "store": "s3://data/wines/red and white.csv",
        "volume": (tmp_path / "wine.csv").as_uri(),
    }
    with pytest.raises(Unprepared) as error:
        fetch(Dataset(name="wine", uri=uris[where], digest=ANOTHER), tmp_path / "datasets")
    assert (error.value.reason, error.value.is_permanent) == ("DatasetMismatch", True)
    assert str(error.value) == f"dataset wine: wanted {ANOTHER}, found {DIGEST} at {uris[where]}"
    assert not list((tmp_path / "datasets").iterdir())
    assert (tmp_path / "wine.csv").exists()


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("none?signature=abc", "the server answered 404 Not Found"),
        ("private", "the server answered 403 Forbidden"),
        ("broken", "the server answered 503 Service Unavailable"),
        ("half", f"the connection was lost after 1000 of {len(TABLE)} bytes"),
        ("file", "the server answered 302 Found - Redirection to url 'file:///etc/passwd' is not allowed"),
    ],
)
def test_what_a_web_server_does_not_give_may_be_there_later(web: str, tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(Unprepared) as error:
        fetch(Dataset(name="wine", uri=f"{web}/{path}"), tmp_path)
    assert (error.value.reason, error.value.is_permanent) == ("DatasetUnavailable", False)
    assert str(error.value) == f"dataset wine cannot be had from {web}/{path.partition('?')[0]}: {why}"
    assert not (tmp_path / "wine").exists()


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize(("key", "why"), [("none", "NoSuchKey"), ("../x", "AccessDenied|NoSuchKey|Invalid|resource")])
def test_what_a_store_does_not_give_is_told(tmp_path: Path, key: str, why: str) -> None:
    with pytest.raises(Unprepared, match=why) as error:
        fetch(Dataset(name="wine", uri=f"s3://data/{key}"), tmp_path)
    assert error.value.reason == "DatasetUnavailable"


def test_a_store_without_credentials_is_told(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", store)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(Unprepared, match="Unable to locate credentials"):
        fetch(Dataset(name="wine", uri="s3://data/x"), tmp_path)


def test_nobody_at_an_address_is_told(tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{free_port()}/x"
    with pytest.raises(Unprepared, match=r"cannot be had from .*: .*Connection refused"):
        fetch(Dataset(name="wine", uri=uri), tmp_path)


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unprepared, match="dataset wine cannot be had from https://\\[h/x: "):
        fetch(Dataset(name="wine", uri="https://[h/x"), tmp_path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unprepared, match="dataset wine cannot be had from file:///nowhere: No such file or directory"):
        fetch(Dataset(name="wine", uri="file:///nowhere"), tmp_path)
