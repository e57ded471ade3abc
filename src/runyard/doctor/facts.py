"""What is observed: of this machine, of an MLflow server, of a cluster. Checks decide from these values alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from runyard.api.model import JsonObject
from runyard.doctor.findings import Unseen


@dataclass(frozen=True)
class Repository:
    """The git repository of a folder.

    Attributes:
        trouble: why git does not tell of it, in git's words; empty where it does.
        has_commit: whether there is anything in it.
        author: the address that commits are made under, if one is set.

    """

    trouble: str = ""
    has_commit: bool = True
    author: str = ""


@dataclass(frozen=True)
class Machine:
    """A person's machine.

    Attributes:
        python: its version.
        runyard: its version.
        mlflow: its version; None where it is not installed.
        folder: the folder one is in.
        environment: all variables.
        tracking_uri: which MLflow is meant.
        told_by: what says so: an option, or a variable.
        store: what came of opening the store, where MLflow is none over HTTP: "" is well, None: there is none yet.
        repository: of the folder one is in; None where it is in none.

    """

    python: str
    runyard: str
    mlflow: str | None
    folder: str
    environment: Mapping[str, str]
    tracking_uri: str
    told_by: str
    store: str | Unseen | None = None
    repository: Repository | None = None


class Silence(StrEnum):
    """Why a server does not answer."""

    NAME = "its name is not known"
    REFUSED = "nothing listens there"
    TIMEOUT = "it does not answer in time"
    CERTIFICATE = "its certificate is not trusted"
    OTHER = "the connection fails"


@dataclass(frozen=True)
class Unanswered:
    """A request without an answer."""

    silence: Silence
    text: str


@dataclass(frozen=True)
class Answer:
    """An answer: its status, and the beginning of its text."""

    status: int
    text: str

    @property
    def is_good(self) -> bool:
        """Whether it was done."""
        return self.status < 300  # noqa: PLR2004 as HTTP has it


Reply = Answer | Unanswered


@dataclass(frozen=True)
class Server:
    """An MLflow server as it answers.

    Attributes:
        uri: where.
        health: whether it lives.
        version: which it is.
        experiments: what it has; a search that its database must answer.
        roots: where experiments keep their artifacts, as the server says.
        listing: of the artifacts that it passes on.
        written, removed: of an artifact that was tried; None where none was.
        ahead: how far its clock is before this machine's.
        proxy: by which proxy it is reached, if by one.

    """

    uri: str
    health: Reply
    version: Reply | None = None
    experiments: Reply | None = None
    roots: Sequence[str] = ()
    listing: Reply | None = None
    written: Reply | None = None
    removed: Reply | None = None
    ahead: timedelta | None = None
    proxy: str = ""


@dataclass(frozen=True)
class Kind:
    """What a cluster knows of one of Runyard's kinds.

    Attributes:
        is_served: whether the API server knows it.
        definition: its definition; None where there is none.
        policies: its admission policy and binding, by `policy` and `binding`: whether they are there.

    """

    is_served: bool | Unseen = True
    definition: JsonObject | Unseen | None = None
    policies: Mapping[str, bool | Unseen] = field(default_factory=dict)


@dataclass(frozen=True)
class Platform:
    """What Runyard is in a cluster: its kinds, and the namespace of its release.

    Attributes:
        context: what the cluster is called.
        version: Kubernetes'.
        release: the release's namespace.
        trainings, sweeps: the kinds.
        deployments, pods, claims: of the release.
        lease: the operator's; None where there is none.
        lease_moved: whether it was renewed while one looked, for as long as it says that it holds.
        fullness: used part of volumes, by claim: 0.5 is half.
        experiments_here, experiments_there: what tells one MLflow from another: the person's, the operator's.
        public: what MLflow's address for people answers.

    """

    context: str
    version: str
    release: str
    trainings: Kind = field(default_factory=Kind)
    sweeps: Kind = field(default_factory=Kind)
    deployments: Sequence[JsonObject] | Unseen = ()
    pods: Sequence[JsonObject] | Unseen = ()
    claims: Sequence[JsonObject] | Unseen = ()
    lease: JsonObject | Unseen | None = None
    lease_moved: bool = False
    fullness: Mapping[str, float] | Unseen = field(default_factory=dict)
    experiments_here: str | Unseen | None = None
    experiments_there: str | Unseen | None = None
    public: Reply | None = None


@dataclass(frozen=True)
class Namespace:
    """Where a person trains.

    Attributes:
        name: its name.
        found: the object; None where there is none.
        rights: what one may do, by `VERB RESOURCE`.
        quotas, pods, trainings: what is in it; pods are those of trainings.
        queues: names of Kueue's LocalQueues; None where the cluster has no Kueue.

    """

    name: str
    found: JsonObject | Unseen | None = None
    rights: Mapping[str, bool | Unseen] = field(default_factory=dict)
    quotas: Sequence[JsonObject] | Unseen = ()
    pods: Sequence[JsonObject] | Unseen = ()
    trainings: Sequence[JsonObject] | Unseen = ()
    queues: Sequence[str] | Unseen | None = None


@dataclass(frozen=True)
class Manifest:
    """A manifest, and what the cluster says of it.

    Attributes:
        name: the file's.
        kind: what it is of.
        problem: what is wrong with it without any cluster; empty where nothing is.
        queue: its `queueName`, if it has one.
        image: its image, if it says one.
        admitted: what the API server says to it, tried without effect: "" is well; None where no cluster was asked.
        pod_admitted: what it says to its pod.
        missing: what it names and is not there, as `Secret NAME`.

    """

    name: str
    kind: str = "TrainingRun"
    problem: str = ""
    queue: str | None = None
    image: str | None = None
    admitted: str | Unseen | None = None
    pod_admitted: str | Unseen | None = None
    missing: Sequence[str] | Unseen = ()
