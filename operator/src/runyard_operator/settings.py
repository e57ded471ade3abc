"""Settings, all from the environment; the chart sets them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Settings:
    """What the operator is told at its start."""

    tracking_uri: str
    public_tracking_url: str
    namespaces: tuple[str, ...]
    image_pull_grace: timedelta
    log_tail_bytes: int
    health_port: int
    installation: str
    sweep_pause: timedelta


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
        image_pull_grace=timedelta(seconds=_number(environment, "RUNYARD_IMAGE_PULL_GRACE_SECONDS", 300)),
        log_tail_bytes=_number(environment, "RUNYARD_LOG_TAIL_BYTES", 1 << 20),
        health_port=_number(environment, "RUNYARD_HEALTH_PORT", 8080),
        sweep_pause=timedelta(seconds=_number(environment, "RUNYARD_SWEEP_SECONDS", 300)),
        installation=environment.get("RUNYARD_INSTALLATION", ""),
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal():
        raise SystemExit(f"{name} is {text!r}: set it to a whole number, or leave it out for {default}")
    return int(text)
