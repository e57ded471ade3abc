"""Where artifacts may be, so that nobody is led elsewhere."""

import pytest

from runyard.history import is_elsewhere


@pytest.mark.parametrize(
    ("place", "tracking_uri", "elsewhere"),
    [
        ("mlflow-artifacts:/1/a/artifacts", "http://mlflow:5000", False),
        ("mlflow-artifacts://mlflow:5000/1", "http://mlflow:5000", False),
        ("mlflow-artifacts://mlflow/1", "https://mlflow", False),
        ("http://mlflow:80/1", "http://mlflow", False),
        ("s3://bucket/1", "http://mlflow:5000", False),
        ("mlflow-artifacts://evil:5000/1", "http://mlflow:5000", True),
        ("mlflow-artifacts://mlflow:22/1", "http://mlflow:5000", True),
        ("http://169.254.169.254/latest", "http://mlflow:5000", True),
        ("https://mlflow/1", "http://mlflow", True),
        ("file:///etc", "http://mlflow:5000", True),
        ("/etc", "https://mlflow", True),
        # This machine's server may well keep them in a folder, as may a database that is opened here.
        ("/home/ada/mlruns/1", "http://localhost:5000", False),
        ("/home/ada/mlruns/1", "sqlite:///mlflow.db", False),
        ("file:///mlruns/1", "file:///mlruns", False),
    ],
)
def test_who_trusts_an_mlflow_is_led_nowhere_else(place: str, tracking_uri: str, elsewhere: bool) -> None:  # noqa: FBT001
    assert is_elsewhere(place, tracking_uri) is elsewhere
