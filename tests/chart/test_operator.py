"""The operator's pod, as the cluster runs it."""

from runyard_operator import main
from runyard_operator.settings import from_environment
from tests.chart.rendered import Object, Rendered, environment, render


def pod(chart: Rendered) -> Object:
    found: Object = chart.one("Deployment", "runyard-operator")["spec"]["template"]["spec"]
    return found


def test_what_the_pod_is_told_the_program_understands(everything: Rendered) -> None:
    [container] = pod(everything)["containers"]
    told = environment(container)
    assert told.pop("RUNYARD_IDENTITY") == {"fieldRef": {"fieldPath": "metadata.name"}}
    found = from_environment(told)
    assert (found.lease_namespace, found.lease_name) == ("runyard", "runyard-operator")
    assert (found.lease_seconds, found.watch_silence_seconds, found.stuck_seconds) == (30, 90, 60)
    assert found.prepare_image == container["image"] == "registry.example/operator:2"
    assert (found.log_format, found.namespaces) == ("json", ("team-a", "team-b"))


def test_the_kubelet_asks_where_the_program_answers(chart: Rendered) -> None:
    [container] = pod(chart)["containers"]
    [port] = container["ports"]
    assert port["containerPort"] == int(environment(container)["RUNYARD_HEALTH_PORT"])
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "metrics"},
        "liveness": {"path": "/healthz", "port": "metrics"},
        "readiness": {"path": "/readyz", "port": "metrics"},
    }


def test_the_databases_password_is_there_for_optuna_alone(default: Rendered, everything: Rendered) -> None:
    [container] = pod(default)["containers"]
    told = environment(container)
    [of_mlflow] = default.one("Deployment", "runyard-mlflow")["spec"]["template"]["spec"]["containers"]
    libpq = {name: value for name, value in environment(of_mlflow).items() if name.startswith("PG")}
    assert libpq.keys() >= {"PGHOST", "PGPASSWORD"}
    assert {name: told[name] for name in libpq} == libpq
    assert told["RUNYARD_OPTUNA"] == "true"
    [container] = pod(everything)["containers"]
    told = environment(container)
    assert told["RUNYARD_OPTUNA"] == "false"
    assert not [name for name in told if name.startswith("PG")]
    assert "secretKeyRef" not in str(container)


def test_how_the_database_is_reached_is_said_once_for_both() -> None:
    chart = render(
        values={"mlflow": {"extraEnv": [{"name": "PGSSLMODE", "value": "require"}, {"name": "A", "value": "b"}]}}
    )
    [container] = pod(chart)["containers"]
    assert environment(container)["PGSSLMODE"] == "require"
    assert "A" not in environment(container)


def test_a_pod_may_take_longer_to_end_than_its_work_may(chart: Rendered) -> None:
    assert pod(chart)["terminationGracePeriodSeconds"] > main.SHUTDOWN_SECONDS


def test_several_pods_may_run_and_are_replaced_one_by_one(everything: Rendered, default: Rendered) -> None:
    assert everything.one("Deployment", "runyard-operator")["spec"]["replicas"] == 2
    # A new pod stands by, and is ready, before the old one hands over.
    assert "strategy" not in default.one("Deployment", "runyard-operator")["spec"]


def test_prometheus_finds_each_pod(default: Rendered) -> None:
    service = default.one("Service", "runyard-operator")
    assert service["spec"]["clusterIP"] == "None"
    [port] = service["spec"]["ports"]
    assert (port["name"], port["port"], port["targetPort"]) == ("metrics", 8080, "metrics")
    annotations = service["metadata"]["annotations"]
    assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/port"]) == ("true", "8080")
    labels = default.one("Deployment", "runyard-operator")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
