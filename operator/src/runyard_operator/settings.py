"""Settings, all from the environment; the chart sets them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version

from runyard_operator.logs import Format


@dataclass(frozen=True)
class Settings:
    """What the operator is told at its start."""

    tracking_uri: str
    public_tracking_url: str
    namespaces: tuple[str, ...]
    prepare_image: str
    image_pull_grace: timedelta
    log_tail_bytes: int
    health_port: int
    sweep_pause: timedelta
    lease_namespace: str
    lease_name: str
    identity: str
    lease_seconds: int
    watch_silence_seconds: int
    stuck_seconds: int
    log_format: Format
    has_optuna: bool
    """Whether libpq's variables lead to a database for Optuna."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        SystemExit: one is missing or is not a number; the text names it.

    """
    uri = environment.get("RUNYARD_TRACKING_URI", "").rstrip("/")
    if not uri.startswith(("http://", "https://")):
        raise SystemExit(f"RUNYARD_TRACKING_URI is {uri!r}: set it to the http(s) address of the MLflow server")
    return Settings(
        tracking_uri=uri,
        public_tracking_url=environment.get("RUNYARD_PUBLIC_TRACKING_URL", "").rstrip("/") or uri,
        namespaces=tuple(name.strip() for name in environment.get("RUNYARD_NAMESPACES", "").split(",") if name.strip()),
        prepare_image=environment.get("RUNYARD_PREPARE_IMAGE", "").strip() or f"runyard/operator:{version('runyard')}",
        image_pull_grace=timedelta(seconds=_number(environment, "RUNYARD_IMAGE_PULL_GRACE_SECONDS", 300)),
        log_tail_bytes=_number(environment, "RUNYARD_LOG_TAIL_BYTES", 1 << 20),
        health_port=_number(environment, "RUNYARD_HEALTH_PORT", 8080),
        sweep_pause=timedelta(seconds=_number(environment, "RUNYARD_SWEEP_SECONDS", 300)),
        lease_namespace=environment.get("RUNYARD_LEASE_NAMESPACE", "").strip() or "default",
        lease_name=environment.get("RUNYARD_LEASE_NAME", "").strip() or "runyard-operator",
        identity=environment.get("RUNYARD_IDENTITY", "").strip(),
        lease_seconds=_number(environment, "RUNYARD_LEASE_SECONDS", 15, least=1),
        watch_silence_seconds=_number(environment, "RUNYARD_WATCH_SILENCE_SECONDS", 180, least=1),
        stuck_seconds=_number(environment, "RUNYARD_STUCK_SECONDS", 600, least=1),
        log_format=_log_format(environment),
        has_optuna=_switch(environment, "RUNYARD_OPTUNA"),
    )


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int = 0) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise SystemExit(f"{name} is {text!r}: set it to a whole number, or leave it out for {default}")
    if int(text) < least:
        raise SystemExit(f"{name} is {text!r}: set it to {least} at least, or leave it out for {default}")
    return int(text)


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "") or "false"
    if text not in {"true", "false"}:
        raise SystemExit(f"{name} is {text!r}: set it to true or false, or leave it out for false")
    return text == "true"


def _log_format(environment: Mapping[str, str]) -> Format:
    text = environment.get("RUNYARD_LOG_FORMAT", "") or Format.TEXT
    if text not in set(Format):
        raise SystemExit(f"RUNYARD_LOG_FORMAT is {text!r}: set it to text or json, or leave it out for text")
    return Format(text)
