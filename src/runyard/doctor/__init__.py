"""What is wrong with a machine, an MLflow, a cluster and a manifest, why it matters, and what to do.

    for finding in doctor.of_mlflow("http://mlflow:5000"):
        print(finding.verdict, finding.says, finding.remedy)

Each thing is observed first (`machine`, `mlflow`, `cluster`, `manifest`), and judged then by functions of what was
observed alone (`…_checks`). What could not be observed is a finding too.
"""

from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from runyard.cluster import Cluster, ClusterUnavailable, Refused
from runyard.doctor import (
    cluster,
    machine,
    machine_checks,
    manifest,
    mlflow,
    mlflow_checks,
    namespace_checks,
    platform_checks,
)
from runyard.doctor.facts import Namespace
from runyard.doctor.findings import Finding, Verdict

__all__ = ["Finding", "Verdict", "of_cluster", "of_machine", "of_manifest", "of_mlflow", "silence_of"]


def of_machine(tracking_uri: str, told_by: str, folder: Path) -> list[Finding]:
    """Look at this machine.

    Args:
        tracking_uri: the MLflow that is meant.
        told_by: what says so: an option, or a variable.
        folder: where one's code is.

    """
    return list(machine_checks.checks(machine.observe(tracking_uri, told_by, folder)))


def of_mlflow(uri: str, *, read_only: bool = False) -> list[Finding]:
    """Look at an MLflow server; unless told otherwise, one small artifact is written and removed."""
    return list(mlflow_checks.checks(mlflow.observe(uri, read_only=read_only), machine.mlflow_version()))


def of_cluster(
    opened: Cluster, context: str = "the cluster", release: str = "runyard", tracking_uri: str | None = None
) -> list[Finding]:
    """Look at a cluster: at Runyard in it, and at the namespace that one trains in.

    Args:
        opened: the cluster, and the namespace.
        context: what to call it.
        release: the namespace that Runyard is installed in.
        tracking_uri: the person's MLflow server, to be compared with the operator's; None: there is none.

    """
    uri = tracking_uri if urlsplit(tracking_uri or "").scheme in {"http", "https"} else None
    if silence := silence_of(opened, context):
        return [silence]
    platform = cluster.observe_platform(opened, context, release, uri)
    found = cluster.observe_namespace(opened, opened.namespace)
    return [
        *platform_checks.checks(platform, version("runyard"), opened.namespace),
        *namespace_checks.checks(found),
    ]


def silence_of(opened: Cluster, context: str = "the cluster") -> Finding | None:
    """Say that a cluster does not answer; None where it does."""
    try:
        opened.call("GET", "/version")
    except ClusterUnavailable as error:
        return platform_checks.unreachable(f"{context}: {error}")
    except Refused:
        pass  # it answers
    return None


def of_manifest(file: Path, opened: Cluster | None = None) -> list[Finding]:
    """Look at a manifest, and at what a cluster would say to it where one is given; nothing is created.

    Raises:
        UnreadableManifest: there is no such file.

    """
    facts, wanted = manifest.read(file)
    namespace: Namespace | None = None
    if wanted and opened and not silence_of(opened):
        name = opened.named or wanted.metadata.namespace or opened.namespace
        namespace = cluster.observe_namespace(opened, name)
        facts = manifest.observe(opened, name, file.name, wanted)
    return list(namespace_checks.manifest_checks(facts, namespace))
