"""What is left in a namespace without an owner."""

from typing import Any

from tests.support.kubectl import Kubectl


def leaked(kubectl: Kubectl) -> list[str]:
    """Return a sentence for each Job, pod or service that should not be there."""
    runs = {body["metadata"]["uid"] for body in kubectl.items("trainingruns.runyard.dev")}
    jobs = [body for body in kubectl.items("jobs") if _is_ours(body)]
    owners = runs | {job["metadata"]["uid"] for job in jobs}
    others = [body for kind in ("pods", "services") for body in kubectl.items(kind) if _is_ours(body)]
    return [
        f"{body['kind']} {body['metadata']['name']} has lost its owner"
        for body in [*jobs, *others]
        if not owners & {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}
    ]


def _is_ours(body: dict[str, Any]) -> bool:
    return "runyard.dev/uid" in body["metadata"].get("labels", {})
