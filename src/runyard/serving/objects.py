"""What serves a model in a cluster: functions from what is wanted to objects, with nothing read from anywhere."""

import re
from dataclasses import dataclass
from hashlib import sha256

from runyard.api.model import JsonObject
from runyard.api.quantities import quantity
from runyard.errors import RunyardError
from runyard.serving.versions import Version

# By which MLflow's network policy knows what may call it: charts/runyard/templates/network-policies/mlflow.yaml.
SERVES_LABEL = "runyard.dev/serves"
VERSION_LABEL = "runyard.dev/model-version"
MODEL_ANNOTATION = "runyard.dev/model"
ALIAS_ANNOTATION = "runyard.dev/alias"
RUN_ANNOTATION = "runyard.dev/run-id"
PORT, SERVICE_PORT = 8080, 80
# Where the chart puts MLflow when it is installed as README says.
POD_TRACKING_URI = "http://runyard-mlflow.runyard.svc:5000"
ARTIFACT_STORE = "s3://mlflow"
# What a scoring server needs to import and to load, before it answers for the first time.
_START_SECONDS, _LOOK_SECONDS = 600, 2
_LONGEST_SLUG = 40
_PROXIED = "mlflow-artifacts:"


class WrongQuantity(RunyardError):
    """What a pod is to have is not written as Kubernetes writes it."""

    exit_code = 2


class NotForKServe(RunyardError):
    """The model lies where KServe cannot read it."""

    exit_code = 2


@dataclass(frozen=True)
class Serving:
    """A version that is to be served.

    Attributes:
        version: which.
        image: what it is served in; MLflow and the model's packages are in it.
        tracking_uri: MLflow, as pods reach it.
        replicas: how many pods.
        cpu: what each asks for, as Kubernetes writes it.
        memory: what each has, as Kubernetes writes it.

    """

    version: Version
    image: str
    tracking_uri: str = POD_TRACKING_URI
    replicas: int = 1
    cpu: str = "100m"
    memory: str = "1Gi"

    def __post_init__(self) -> None:
        """Refuse what the API server takes for a failure of its own.

        Raises:
            WrongQuantity: cpu or memory is none.

        """
        for name, text in (("cpu", self.cpu), ("memory", self.memory)):
            found = quantity(text)
            if found is None or found <= 0:
                raise WrongQuantity(f"{name} is {text!r}: write it as Kubernetes does, 500m or 2 or 1.5Gi for instance")

    @property
    def name(self) -> str:
        """What its objects are called."""
        return object_name(self.version.model)


def object_name(model: str) -> str:
    """Return what the objects that serve a model are called: a name that is no object's is told apart by a digest.

    >>> object_name("heart"), object_name("Heart Disease")
    ('model-heart', 'model-heart-disease-76699d')
    """
    slug = re.sub("[^a-z0-9]+", "-", model.lower()).strip("-")[:_LONGEST_SLUG].strip("-")
    parts = ["model", slug, "" if slug == model else sha256(model.encode()).hexdigest()[:6]]
    return "-".join(filter(None, parts))


def address(name: str, namespace: str) -> str:
    """Return where a model is asked from inside the cluster."""
    return f"http://{name}.{namespace}.svc/invocations"


def manifests(wanted: Serving) -> list[JsonObject]:
    """Build the Deployment and the Service."""
    return [_deployment(wanted), _service(wanted)]


def _metadata(wanted: Serving) -> JsonObject:
    version = wanted.version
    labels: JsonObject = {
        SERVES_LABEL: wanted.name,
        VERSION_LABEL: str(version.number),
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/instance": wanted.name,
        "app.kubernetes.io/managed-by": "runyard",
    }
    annotations: JsonObject = {MODEL_ANNOTATION: version.model}
    if version.alias:
        annotations[ALIAS_ANNOTATION] = version.alias
    if version.run_id:
        annotations[RUN_ANNOTATION] = version.run_id
    return {"labels": labels, "annotations": annotations}


def _deployment(wanted: Serving) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": wanted.name, **_metadata(wanted)},
        "spec": {
            "replicas": wanted.replicas,
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": _START_SECONDS + 60,
            # What serves goes on serving until what is new answers.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {SERVES_LABEL: wanted.name}},
            "template": {"metadata": _metadata(wanted), "spec": _pod(wanted)},
        },
    }


def _pod(wanted: Serving) -> JsonObject:
    return {
        "automountServiceAccountToken": False,
        # A Service named mlflow would otherwise set MLFLOW_PORT to a URL.
        "enableServiceLinks": False,
        # As the first process of its namespace it would be deaf to SIGTERM.
        "shareProcessNamespace": True,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "model",
                "image": wanted.image,
                "command": [
                    *("mlflow", "models", "serve", "--model-uri", wanted.version.uri, "--env-manager", "local"),
                    *("--host", "0.0.0.0", "--port", str(PORT), "--workers", "1"),  # noqa: S104 of a pod of its own
                ],
                "workingDir": "/tmp",  # noqa: S108 a volume of its own
                "env": [
                    {"name": "MLFLOW_TRACKING_URI", "value": wanted.tracking_uri},
                    {"name": "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "value": "false"},
                    {"name": "HOME", "value": "/tmp"},  # noqa: S108 likewise
                    {"name": "PYTHONUNBUFFERED", "value": "1"},
                ],
                "ports": [{"name": "http", "containerPort": PORT}],
                "startupProbe": {
                    **_probe(),
                    "periodSeconds": _LOOK_SECONDS,
                    "failureThreshold": _START_SECONDS // _LOOK_SECONDS,
                },
                "readinessProbe": {**_probe(), "periodSeconds": 5},
                # A server that is busy with a long request is not to be started anew at once.
                "livenessProbe": {**_probe(), "periodSeconds": 20, "failureThreshold": 6},
                # Until nobody sends it anything any more.
                "lifecycle": {"preStop": {"sleep": {"seconds": 10}}},
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "resources": {
                    "requests": {"cpu": wanted.cpu, "memory": wanted.memory},
                    "limits": {"memory": wanted.memory},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 likewise
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _probe() -> JsonObject:
    return {"httpGet": {"path": "/ping", "port": "http"}, "timeoutSeconds": 5}


def _service(wanted: Serving) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": wanted.name, **_metadata(wanted)},
        "spec": {
            "selector": {SERVES_LABEL: wanted.name},
            "ports": [{"name": "http", "port": SERVICE_PORT, "targetPort": "http"}],
        },
    }


KSERVE_NEEDS = (
    "KServe serves this with the runtime that it has for the format mlflow, MLServer, not with Runyard's image.",
    "It reads the model from the object store itself, past MLflow. So it needs, in this namespace:",
    "- a Secret with keys for the store, annotated serving.kserve.io/s3-endpoint and the like, and a ServiceAccount",
    "  that names it, in spec.predictor.serviceAccountName;",
    "- a way to the store: the network policy of the chart's MinIO lets in MLflow alone;",
    "- in MLServer's image, packages of the versions that the model was trained with (MLmodel, requirements.txt).",
)


def inference_service(wanted: Serving, artifact_store: str = ARTIFACT_STORE) -> JsonObject:
    """Build KServe's InferenceService; `KSERVE_NEEDS` says what else it needs.

    Args:
        wanted: what is to be served; the image and MLflow's address are not used.
        artifact_store: where MLflow's server keeps what it passes on: its `--artifacts-destination`.

    Raises:
        NotForKServe: the model lies in a folder.

    """
    location = wanted.version.location
    if location.startswith(_PROXIED):
        path = re.sub(r"^//[^/]*", "", location.removeprefix(_PROXIED)).strip("/")
        location = f"{artifact_store.rstrip('/')}/{path}"
    if location.startswith(("/", "file:", "./")) or "://" not in location:
        raise NotForKServe(f"{wanted.version.uri} lies in {location}: KServe reads s3://, gs:// and https:// only")
    model: JsonObject = {
        "modelFormat": {"name": "mlflow"},
        "protocolVersion": "v2",
        "storageUri": location,
        "resources": {"requests": {"cpu": wanted.cpu, "memory": wanted.memory}, "limits": {"memory": wanted.memory}},
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": wanted.name, **_metadata(wanted)},
        "spec": {"predictor": {"minReplicas": wanted.replicas, "model": model}},
    }
