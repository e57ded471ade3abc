"""Putting images into the cluster's node, each content once, having them used, and taking out what they replace."""

from collections.abc import Iterable, Mapping
from typing import Any

from tests.testbed import cluster
from tests.testbed.shell import read_json, run, run_piped

# A digest beside each tag, as a pull would have left it: pods then say by digest what they run. What was written is on
# the disk at the end, or the cluster's database waits for it, and the API server gives up meanwhile.
_IMPORT = """
set -e
ctr --namespace k8s.io images import --snapshotter overlayfs - >/dev/null
for tag; do
  digest=$(ctr --namespace k8s.io images list "name==$tag" | awk 'NR == 2 { print $3 }')
  ctr --namespace k8s.io images tag --force "$tag" "${tag%:*}@$digest" >/dev/null
done
sync
"""


def load(tags: list[str]) -> list[str]:
    """Put images into the node, and start servers again that run an older one; return the tags that were not there.

    What no tag names any more is taken out of it: each change of the code would leave 3 GB on the disk.

    `kind load` would write all of them anew when one has changed.
    """
    ids = {tag: read_json(["docker", "image", "inspect", "--format={{json .}}", tag])["Id"] for tag in tags}
    changed = absent(ids, _node_images())
    if changed:
        save, into = (
            ["docker", "save", *changed],
            ["docker", "exec", "-i", cluster.CONTAINER, "sh", "-c", _IMPORT, "sh"],
        )
        run_piped(save, [*into, *map(_reference, changed)])
    for namespace, pod in outdated(cluster.pods(), _node_images(), tags):
        cluster.kubectl("delete", "pod", pod, f"--namespace={namespace}", "--wait=false")
    if replaced := untagged(_node_images(), tags):
        run(["docker", "exec", cluster.CONTAINER, "crictl", "--timeout=120s", "rmi", *replaced])
    return changed


def absent(ids: Mapping[str, str], images: dict[str, Any]) -> list[str]:
    """Return the tags under which the node, as crictl lists it, does not have Docker's image of that id."""
    there = _node_digests(images)
    return [tag for tag, wanted in ids.items() if wanted not in {name.split("@")[-1] for name in there.get(tag, set())}]


def outdated(pods: dict[str, Any], images: dict[str, Any], tags: Iterable[str]) -> list[tuple[str, str]]:
    """Return namespace and name of each pod whose image has since been built anew under the same tag.

    `pods` is kubectl's list, `images` crictl's. A Job's pods are left to end with what they began with.
    """
    there = _node_digests(images)
    wanted = {tag: there.get(tag, set()) for tag in tags}
    return [
        (pod["metadata"]["namespace"], pod["metadata"]["name"])
        for pod in pods["items"]
        if {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])} & {"ReplicaSet", "StatefulSet"}
        and any(
            status.get("imageID") and status["imageID"] not in wanted[container["image"]]
            for container in pod["spec"]["containers"]
            for status in pod["status"].get("containerStatuses", [])
            if status["name"] == container["name"] and container["image"] in wanted
        )
    ]


def untagged(images: dict[str, Any], tags: Iterable[str]) -> list[str]:
    """Return the ids of images, as crictl lists them, that had one of the tags until a newer one took it."""
    ours = {_reference(tag).rsplit(":", 1)[0] for tag in tags}
    return [
        image["id"]
        for image in images["images"]
        if not image["repoTags"] and {digest.split("@")[0] for digest in image["repoDigests"]} & ours
    ]


def _node_images() -> dict[str, Any]:
    return read_json(["docker", "exec", cluster.CONTAINER, "crictl", "images", "--output=json"])


def _node_digests(images: dict[str, Any]) -> dict[str, set[str]]:
    return {
        tag.removeprefix("docker.io/"): {image["id"], *image["repoDigests"]}
        for image in images["images"]
        for tag in image["repoTags"]
    }


def _reference(tag: str) -> str:
    return f"docker.io/{tag}"
