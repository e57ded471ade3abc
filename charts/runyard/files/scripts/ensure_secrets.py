"""Make Secrets with random values, unless they are there: what was generated once is never generated again.

Arguments: a namespace, then NAME:KEY[,KEY…] for each Secret.
"""

import secrets
import sys
import time
from http import HTTPStatus

from kubernetes import client, config
from urllib3.exceptions import HTTPError

BYTES = 24
WAIT_SECONDS = 60


def main(namespace: str, wanted: list[str]) -> None:
    """Create what is missing."""
    config.load_incluster_config()
    core = client.CoreV1Api()
    for entry in wanted:
        name, _, keys = entry.partition(":")
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "runyard"}},
            "stringData": {key: secrets.token_urlsafe(BYTES) for key in keys.split(",")},
        }
        print(ensure(core, namespace, name, body), flush=True)


def ensure(core: client.CoreV1Api, namespace: str, name: str, body: dict[str, object]) -> str:
    """Return what was done. A pod's network may be ready a little later than the pod."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            core.create_namespaced_secret(namespace, body, _request_timeout=5)
        except client.ApiException as error:
            if error.status == HTTPStatus.CONFLICT:
                return f"Secret {name} is there and stays as it is"
            sys.exit(f"Secret {name} could not be made: {error.status} {error.reason}")
        except HTTPError as error:
            if time.monotonic() > deadline:
                sys.exit(f"Secret {name} could not be made: no API server within {WAIT_SECONDS} s: {error}")
            print(f"waiting for the API server: {error}", flush=True)
            time.sleep(1)
        else:
            return f"made Secret {name}"


main(sys.argv[1], sys.argv[2:])
