"""What the operator is told by its environment, and what it says to nonsense."""

from datetime import timedelta

import pytest

from runyard_operator.logs import Format
from runyard_operator.settings import Settings, from_environment

MINIMAL = {"RUNYARD_TRACKING_URI": "http://mlflow:5000"}


def test_defaults() -> None:
    assert from_environment(MINIMAL) == Settings(
        tracking_uri="http://mlflow:5000",
        sweep_pause=timedelta(minutes=5),
        public_tracking_url="http://mlflow:5000",
        namespaces=(),
        prepare_image="runyard/operator:0.1.0",
        image_pull_grace=timedelta(minutes=5),
        log_tail_bytes=1 << 20,
        health_port=8080,
        lease_namespace="default",
        lease_name="runyard-operator",
        identity="",
        lease_seconds=15,
        watch_silence_seconds=180,
        stuck_seconds=600,
        log_format=Format.TEXT,
        has_optuna=False,
    )


def test_everything() -> None:
    environment = {
        "RUNYARD_TRACKING_URI": "https://mlflow:5000/",
        "RUNYARD_PUBLIC_TRACKING_URL": "http://mlflow.localhost:8080/",
        "RUNYARD_NAMESPACES": "team-a,team-b",
        "RUNYARD_PREPARE_IMAGE": "registry.example/runyard/operator:1",
        "RUNYARD_IMAGE_PULL_GRACE_SECONDS": "0",
        "RUNYARD_LOG_TAIL_BYTES": "1000",
        "RUNYARD_HEALTH_PORT": "9090",
        "RUNYARD_SWEEP_SECONDS": "7",
        "RUNYARD_LEASE_NAMESPACE": "runyard",
        "RUNYARD_LEASE_NAME": "one",
        "RUNYARD_IDENTITY": "pod-1",
        "RUNYARD_LEASE_SECONDS": "30",
        "RUNYARD_WATCH_SILENCE_SECONDS": "90",
        "RUNYARD_STUCK_SECONDS": "60",
        "RUNYARD_LOG_FORMAT": "json",
        "RUNYARD_OPTUNA": "true",
    }
    assert from_environment(environment) == Settings(
        tracking_uri="https://mlflow:5000",
        sweep_pause=timedelta(seconds=7),
        public_tracking_url="http://mlflow.localhost:8080",
        namespaces=("team-a", "team-b"),
        prepare_image="registry.example/runyard/operator:1",
        image_pull_grace=timedelta(0),
        log_tail_bytes=1000,
        health_port=9090,
        lease_namespace="runyard",
        lease_name="one",
        identity="pod-1",
        lease_seconds=30,
        watch_silence_seconds=90,
        stuck_seconds=60,
        log_format=Format.JSON,
        has_optuna=True,
    )


@pytest.mark.parametrize(
    ("text", "namespaces"),
    [("", ()), (",", ()), ("a", ("a",)), ("a,,b,", ("a", "b")), (" a , b ", ("a", "b"))],
)
def test_namespaces(text: str, namespaces: tuple[str, ...]) -> None:
    assert from_environment(MINIMAL | {"RUNYARD_NAMESPACES": text}).namespaces == namespaces


def test_an_empty_public_url_is_none() -> None:
    found = from_environment(MINIMAL | {"RUNYARD_PUBLIC_TRACKING_URL": ""})
    assert found.public_tracking_url == "http://mlflow:5000"


@pytest.mark.parametrize("uri", [None, "", "mlflow:5000", "sqlite:///mlflow.db", "ftp://mlflow"])
def test_an_address_that_is_none_is_refused(uri: str | None) -> None:
    with pytest.raises(SystemExit, match=r"RUNYARD_TRACKING_URI is .*: set it to the http"):
        from_environment({} if uri is None else {"RUNYARD_TRACKING_URI": uri})


@pytest.mark.parametrize("name", ["RUNYARD_IMAGE_PULL_GRACE_SECONDS", "RUNYARD_LOG_TAIL_BYTES", "RUNYARD_HEALTH_PORT"])
@pytest.mark.parametrize("text", ["", "5m", "-1", "1.5", "²"])
def test_what_is_no_whole_number_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SystemExit, match=f"{name} is .*: set it to a whole number"):
        from_environment(MINIMAL | {name: text})


@pytest.mark.parametrize("name", ["RUNYARD_LEASE_SECONDS", "RUNYARD_WATCH_SILENCE_SECONDS", "RUNYARD_STUCK_SECONDS"])
def test_a_time_that_is_none_is_refused_by_name(name: str) -> None:
    with pytest.raises(SystemExit, match=f"{name} is '0': set it to 1 at least"):
        from_environment(MINIMAL | {name: "0"})


def test_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(SystemExit, match="RUNYARD_LOG_FORMAT is 'xml': set it to text or json"):
        from_environment(MINIMAL | {"RUNYARD_LOG_FORMAT": "xml"})
