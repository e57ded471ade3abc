"""S3 behind the tracking server, and only behind it.

MLflow's own S3 repository can sign addresses for direct transfers, and since 3.17 a server that has it tells every
client to use them: there is no option against it. Neither a training pod nor a laptop reaches a store that is inside
the cluster, so reading an artifact would hang. This one is the same store without that ability, and MLflow proxies.
"""

from pathlib import Path

from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


class ProxiedS3(ArtifactRepository):
    """An S3 location that is read and written by the server alone."""

    def __init__(self, artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None) -> None:
        super().__init__(artifact_uri, tracking_uri, registry_uri)
        self._store = S3ArtifactRepository(artifact_uri, tracking_uri=tracking_uri, registry_uri=registry_uri)

    def log_artifact(self, local_file: str | Path, artifact_path: str | None = None) -> None:
        """Store a file."""
        self._store.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str | Path, artifact_path: str | None = None) -> None:
        """Store a folder."""
        self._store.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list[FileInfo]:
        """Return what is in a folder."""
        found: list[FileInfo] = self._store.list_artifacts(path)
        return found

    def _download_file(self, remote_file_path: str, local_path: str | Path) -> None:
        self._store._download_file(remote_file_path, local_path)  # noqa: SLF001 the interface between repositories

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        """Remove a file or a folder."""
        self._store.delete_artifacts(artifact_path)
