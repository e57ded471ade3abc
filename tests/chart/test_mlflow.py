"""How the tracking server is started."""

import pytest

from tests.chart.rendered import Object, Rendered, environment, render


def server(chart: Rendered) -> Object:
    [container] = chart.one("Deployment", "runyard-mlflow")["spec"]["template"]["spec"]["containers"]
    found: Object = container
    return found


def option(chart: Rendered, name: str) -> list[str]:
    return [arg.split("=", 1)[1] for arg in server(chart)["args"] if arg.startswith(f"--{name}=")]


def test_it_answers_under_each_of_its_names_with_and_without_a_port(default: Rendered) -> None:
    [hosts] = option(default, "allowed-hosts")
    service = "runyard-mlflow"
    names = [service, f"{service}.runyard", f"{service}.runyard.svc", f"{service}.runyard.svc.cluster.local"]
    assert set(hosts.split(",")) == {
        allowed for name in [*names, "localhost", "127.0.0.1", "mlflow.localhost"] for allowed in (name, f"{name}:*")
    }


def test_it_answers_under_the_names_that_are_given(everything: Rendered) -> None:
    [hosts] = option(everything, "allowed-hosts")
    assert {"mlflow.example.com", "mlflow.example.com:*", "*.example.org"} <= set(hosts.split(","))
    assert "mlflow.example.com:8443" not in hosts


def test_pages_may_post_from_where_people_open_them_and_from_nowhere_else(default: Rendered) -> None:
    [origins] = option(default, "cors-allowed-origins")
    assert set(origins.split(",")) == {
        f"{scheme}://mlflow.localhost{port}" for scheme in ("http", "https") for port in ("", ":*")
    }


def test_without_a_public_name_no_page_may_post_from_elsewhere(external: Rendered) -> None:
    assert option(external, "cors-allowed-origins") == []


def test_artifacts_go_through_the_server(everything: Rendered) -> None:
    assert "--serve-artifacts" in server(everything)["args"]
    assert option(everything, "artifacts-destination") == ["s3://artifacts"]


def test_it_keeps_idle_connections_for_longer_than_ingress_controllers_do(default: Rendered) -> None:
    traefiks_and_nginxs_seconds = max(90, 60)
    assert int(environment(server(default))["UVICORN_TIMEOUT_KEEP_ALIVE"]) > traefiks_and_nginxs_seconds


def test_it_does_not_run_jobs_nor_call_home(default: Rendered) -> None:
    variables = environment(server(default))
    assert variables["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_it_has_two_minutes_to_start(default: Rendered) -> None:
    probe = server(default)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 120


def test_the_bundled_database_is_not_steered_by_the_external_ones_values(default: Rendered) -> None:
    settings = ["postgres.external.port=1", "postgres.external.user=x", "postgres.external.database=x"]
    assert render(settings=settings).objects == default.objects


def test_a_database_of_ones_own_is_used_with_its_own_secret(external: Rendered) -> None:
    deployment = external.one("Deployment", "runyard-mlflow")["spec"]["template"]["spec"]
    for container in (deployment["initContainers"][0], deployment["containers"][0]):
        variables = environment(container)
        assert [variables[name] for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")] == [
            "db.example.com",
            "6432",
            "tracking",
            "tracker",
        ]
        assert variables["PGPASSWORD"] == {"secretKeyRef": {"name": "database", "key": "password"}}
    assert not external.of_kind("StatefulSet")


def test_an_object_store_of_ones_own_is_used_with_its_own_secret(external: Rendered) -> None:
    deployment = external.one("Deployment", "runyard-mlflow")["spec"]["template"]["spec"]
    for container in (deployment["initContainers"][1], deployment["containers"][0]):
        variables = environment(container)
        assert variables["MLFLOW_S3_ENDPOINT_URL"] == "http://s3.example.com:9001"
        assert variables["AWS_DEFAULT_REGION"] == "eu-central-1"
        assert variables["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "store", "key": "secretKey"}}


@pytest.mark.parametrize("name", ["mlflow", "database", "bucket"])
def test_variables_of_ones_own_reach_the_server_and_what_prepares_it(name: str, everything: Rendered) -> None:
    [container] = [c for where, c in everything.containers() if where == f"Deployment/runyard-mlflow/{name}"]
    assert environment(container)["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ([], "http://mlflow.localhost"),
        (["ingress.tls.secretName=certificate"], "https://mlflow.localhost"),
        (["ingress.publicUrl=http://mlflow.localhost:8080/"], "http://mlflow.localhost:8080"),
        (["ingress.enabled=false"], "http://runyard-mlflow.runyard.svc:5000"),
    ],
)
def test_people_are_sent_to_the_address_that_they_can_open(settings: list[str], url: str) -> None:
    [operator] = [c for where, c in render(settings=settings).containers() if where.endswith("/operator")]
    assert environment(operator)["RUNYARD_PUBLIC_TRACKING_URL"] == url
