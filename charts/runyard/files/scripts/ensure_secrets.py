"""Make Secrets with random values, unless they are there: what was generated once is never generated again.

Arguments: a namespace, then NAME:KEY[,KEY…] for each Secret.
"""

import secrets
import sys
from http import HTTPStatus

from kubernetes import client, config

BYTES = 24


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
        try:
            core.create_namespaced_secret(namespace, body)
        except client.ApiException as error:
            if error.status != HTTPStatus.CONFLICT:
                sys.exit(f"Secret {name} could not be made: {error.status} {error.reason}")
            print(f"Secret {name} is there and stays as it is")
        else:
            print(f"made Secret {name}")


main(sys.argv[1], sys.argv[2:])
