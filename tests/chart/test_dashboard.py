"""How the dashboard is started, and who may call it."""

from tests.chart.rendered import CHART, Object, Rendered, helm, render
from tests.chart.test_network_policies import policy, ports


def container(chart: Rendered) -> Object:
    [found] = chart.one("Deployment", "runyard-dashboard")["spec"]["template"]["spec"]["containers"]
    one: Object = found
    return one


def options(chart: Rendered, name: str) -> list[str]:
    return [arg.split("=", 1)[1] for arg in container(chart)["args"] if arg.startswith(f"--{name}=")]


def test_it_reads_the_releases_own_mlflow_below_its_path(default: Rendered, everything: Rendered) -> None:
    assert options(default, "tracking-uri") == ["http://runyard-mlflow.runyard.svc:5000"]
    for chart, path in ((default, "/runs"), (everything, "/dashboard")):
        assert options(chart, "base-path") == [path]
        [ingress] = chart.of_kind("Ingress")
        paths = ingress["spec"]["rules"][0]["http"]["paths"]
        # The longer path comes first for controllers that take the first that fits.
        assert [(found["path"], found["backend"]["service"]["name"]) for found in paths] == [
            (path, "runyard-dashboard"),
            ("/", "runyard-mlflow"),
        ]
        [port] = chart.one("Service", "runyard-dashboard")["spec"]["ports"]
        assert (port["name"], port["port"]) == ("http", 8080)


def test_it_answers_under_the_names_that_people_and_pods_call_it_by(default: Rendered, everything: Rendered) -> None:
    service = "runyard-dashboard"
    inside = [service, f"{service}.runyard", f"{service}.runyard.svc", f"{service}.runyard.svc.cluster.local"]
    assert options(default, "allowed-host") == [*inside, "mlflow.localhost"]
    assert {"mlflow.example.com", "*.example.org"} < set(options(everything, "allowed-host"))


def test_it_looks_at_the_namespaces_that_the_operator_watches(default: Rendered, everything: Rendered) -> None:
    assert ("--cluster" in container(default)["args"], options(default, "namespace")) == (True, [])
    assert options(everything, "namespace") == ["team-a", "team-b"]


def test_it_is_asked_whether_it_lives_by_a_name_that_it_answers(default: Rendered) -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container(default)[probe]["httpGet"]
        # MLflow's silence must not take the dashboard away: a file of its own is asked for.
        assert asked["path"] == "/runs/static/icon.svg"
        assert asked["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_the_ingress_controller_alone_may_call_it(default: Rendered, everything: Rendered) -> None:
    for chart, namespaces in ((default, ["traefik", "ingress-nginx"]), (everything, ["edge"])):
        [rule] = policy(chart, "dashboard")["ingress"]
        [peer] = rule["from"]
        assert peer["namespaceSelector"]["matchExpressions"][0]["values"] == namespaces
        assert ports(rule) == {("TCP", 8080)}
    assert "ingress" not in policy(render(settings=["ingress.enabled=false"]), "dashboard")


def test_it_can_be_left_out() -> None:
    without = render(settings=["dashboard.enabled=false"])
    assert not [found for found in without.objects if "dashboard" in found["metadata"]["name"]]
    [ingress] = without.of_kind("Ingress")
    assert [found["path"] for found in ingress["spec"]["rules"][0]["http"]["paths"]] == ["/"]
    assert len(policy(without, "mlflow")["ingress"][0]["from"]) == 4


def test_it_leads_to_mlflow_where_people_open_it(default: Rendered, everything: Rendered) -> None:
    assert options(default, "mlflow-url") == ["http://mlflow.localhost"]
    [opened] = options(everything, "mlflow-url")
    assert opened.startswith("https://")
    # What pods call it by is no address for people.
    assert options(render(settings=["ingress.enabled=false"]), "mlflow-url") == [""]


def test_each_may_sign_in_and_then_it_needs_no_right_to_change_anything(default: Rendered) -> None:
    assert options(default, "auth-mode") == ["server"]
    signing = render(settings=["dashboard.authMode=client", "dashboard.allowChanges=true"])
    assert options(signing, "auth-mode") == ["client"]
    assert "--allow-changes" in container(signing)["args"]
    [rule] = signing.one("ClusterRole", "runyard-runyard-dashboard")["rules"]
    assert (rule["resources"], rule["verbs"]) == (["trainingruns"], ["get", "list"])
    # Nobody could be asked.
    for wrong in (["dashboard.authMode=client", "dashboard.trainings=false"], ["dashboard.authMode=sso"]):
        done = helm("template", "runyard", str(CHART), *(f"--set={setting}" for setting in wrong))
        assert done.returncode != 0


def test_mlflows_own_pages_can_be_left_out_of_the_ingress() -> None:
    chart = render(settings=["ingress.mlflow=false"])
    [ingress] = chart.of_kind("Ingress")
    paths = ingress["spec"]["rules"][0]["http"]["paths"]
    assert [found["path"] for found in paths] == ["/runs"]
    # Nor does a page lead there, or the controller reach it.
    assert options(chart, "mlflow-url") == [""]
    assert "traefik" not in str(policy(chart, "mlflow"))
    assert not render(settings=["ingress.mlflow=false", "dashboard.enabled=false"]).of_kind("Ingress")
