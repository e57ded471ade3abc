"""Datasets: each is brought into a file of its own, and its digest is taken on the way."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

from runyard.api.datasets import Dataset, FetchedDataset
from runyard.api.outcome import Reason
from runyard.prepare.failures import Unprepared

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60


class _Readable(Protocol):
    """What comes from a file, a server or a store."""

    def read(self, size: int, /) -> bytes: ...


def fetch(dataset: Dataset, folder: Path) -> FetchedDataset:
    """Bring a dataset to its place in a folder, unless it is another than was asked for.

    A file on a volume is not copied: its place is a link to it.

    Raises:
        Unprepared: DatasetUnavailable, or DatasetMismatch.

    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / dataset.name
    place.unlink(missing_ok=True)
    with _telling_of(dataset):
        digest = _brought(dataset.uri, place)
    if dataset.digest and digest != dataset.digest:
        place.unlink()
        message = f"dataset {dataset.name}: wanted {dataset.digest}, found {digest} at {without_query(dataset.uri)}"
        raise Unprepared(Reason.DATASET_MISMATCH, message, is_permanent=True)
    return FetchedDataset(name=dataset.name, digest=digest)


def without_query(uri: str) -> str:
    """Return an address as it may be told: what is after the question mark can be a signature that lets one in."""
    return uri.partition("?")[0] if uri.startswith("http") else uri


def _brought(uri: str, place: Path) -> str:
    """Bring what is at an address to its place; return its digest."""
    address = urlsplit(uri)
    if address.scheme == "file":
        file = Path(unquote(address.path))
        with file.open("rb") as content:
            digest = _copied(content, None)
        place.symlink_to(file)
        return digest
    partial = place.with_name(f".{place.name}.partial")
    with partial.open("wb") as file_here:
        if address.scheme == "s3":
            digest = _from_s3(address.netloc, uri.removeprefix(f"s3://{address.netloc}/"), file_here)
        else:
            digest = _from_http(uri, file_here)
    partial.replace(place)
    return digest


def _from_http(uri: str, file: IO[bytes]) -> str:
    with urlopen(uri, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 the resource's rules let no other scheme pass
        digest = _copied(answer, file)
        promised = answer.headers.get("Content-Length")
    if promised is not None and int(promised) != file.tell():
        raise HTTPException(f"the connection was lost after {file.tell()} of {promised} bytes")
    return digest


def _from_s3(bucket: str, key: str, file: IO[bytes]) -> str:
    import boto3
    from botocore.config import Config

    # A store of one's own, which AWS_ENDPOINT_URL names, has seldom a host name for each bucket.
    session = boto3.session.Session()
    client = session.client("s3", config=Config(connect_timeout=_TIMEOUT_SECONDS, read_timeout=_TIMEOUT_SECONDS))
    if not client.meta.endpoint_url.endswith(".amazonaws.com"):
        client = session.client("s3", config=client.meta.config.merge(Config(s3={"addressing_style": "path"})))
    return _copied(client.get_object(Bucket=bucket, Key=key)["Body"], file)


def _copied(content: _Readable, file: IO[bytes] | None) -> str:
    """Read to the end, into a file where there is one; return the digest."""
    found = hashlib.sha256()
    while chunk := content.read(_CHUNK_BYTES):
        found.update(chunk)
        if file:
            file.write(chunk)
    return f"sha256:{found.hexdigest()}"


@contextmanager
def _telling_of(dataset: Dataset) -> Iterator[None]:
    """Say of whatever is in the way which dataset it keeps away."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except HTTPError as error:
        raise _unavailable(dataset, f"the server answered {error.code} {error.reason}") from error
    except URLError as error:
        raise _unavailable(dataset, str(error.reason)) from error
    except (OSError, ValueError, HTTPException, BotoCoreError, ClientError) as error:
        raise _unavailable(dataset, getattr(error, "strerror", None) or str(error) or type(error).__name__) from error


def _unavailable(dataset: Dataset, why: str) -> Unprepared:
    message = f"dataset {dataset.name} cannot be had from {without_query(dataset.uri)}: {why}"
    return Unprepared(Reason.DATASET_UNAVAILABLE, message, is_permanent=False)
