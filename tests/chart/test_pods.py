"""What is true of every pod, whatever the values."""

import re

from tests.chart.rendered import Rendered, environment

USES_THE_API_SERVER = {"Deployment/runyard-operator", "Deployment/runyard-dashboard", "Job/runyard-secrets"}
SECRET_WORDS = re.compile(r"password=|secret_?key=|access_?key=|://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)


def test_every_pod_meets_the_restricted_standard(chart: Rendered) -> None:
    for where, pod in chart.pods():
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["runAsUser"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod["spec"].keys(), where
        for volume in pod["spec"].get("volumes", []):
            assert volume.keys() & {"emptyDir", "configMap", "secret"}, where


def test_every_container_meets_the_restricted_standard_and_cannot_write_its_root(chart: Rendered) -> None:
    for where, container in chart.containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, where


def test_every_container_says_what_it_needs_and_how_much_it_may_take(chart: Rendered) -> None:
    for where, container in chart.containers():
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys(), where
        assert "memory" in resources["limits"], where


def test_a_failure_can_be_read_where_the_pod_is_described(chart: Rendered) -> None:
    for where, container in chart.containers():
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", where


def test_only_who_talks_to_the_api_server_gets_a_token(chart: Rendered) -> None:
    for where, pod in chart.pods():
        assert pod["spec"]["automountServiceAccountToken"] is (where in USES_THE_API_SERVER), where
        assert pod["spec"]["serviceAccountName"] != "default", where
    for account in chart.of_kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_every_pod_has_the_account_it_names(chart: Rendered) -> None:
    accounts = {found["metadata"]["name"] for found in chart.of_kind("ServiceAccount")}
    assert accounts == {pod["spec"]["serviceAccountName"] for _, pod in chart.pods()}


def test_no_service_is_described_in_a_pods_environment(chart: Rendered) -> None:
    # A Service named mlflow would set MLFLOW_PORT, which the server takes for its own option.
    for where, pod in chart.pods():
        assert pod["spec"]["enableServiceLinks"] is False, where


def test_no_variable_is_there_twice(chart: Rendered) -> None:
    for where, container in chart.containers():
        names = [entry["name"] for entry in container.get("env", [])]
        assert len(names) == len(set(names)), where


def test_no_secret_is_written_into_a_pod(chart: Rendered) -> None:
    secret_names = {"PGPASSWORD", "POSTGRES_PASSWORD", "AWS_SECRET_ACCESS_KEY", "MINIO_ROOT_PASSWORD"}
    for where, container in chart.containers():
        for word in [*container.get("command", []), *container.get("args", [])]:
            assert not SECRET_WORDS.search(word), f"{where}: {word}"
        for name, value in environment(container).items():
            if name in secret_names:
                assert "secretKeyRef" in value, f"{where}: {name}"
            elif isinstance(value, str):
                assert not SECRET_WORDS.search(value), f"{where}: {name}"


def test_the_bundled_stores_read_their_passwords_from_files(default: Rendered) -> None:
    for where, pod in default.pods():
        files = {
            name: value for c in pod["spec"]["containers"] for name, value in environment(c).items() if "_FILE" in name
        }
        if not where.startswith("StatefulSet/"):
            assert not files, where
            continue
        [container] = pod["spec"]["containers"]
        [volume] = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "secrets"]
        assert {f"{mount['mountPath']}/{item['path']}" for item in volume["items"]} == set(files.values()), where
        # Read by the pod's group, which fsGroup gives to the files.
        assert (volume["defaultMode"], mount["readOnly"]) == (0o440, True)
        assert "fsGroup" in pod["spec"]["securityContext"]
        assert not any("secretKeyRef" in str(value) for value in environment(container).values()), where


def test_no_secret_is_rendered(chart: Rendered) -> None:
    # A rendered password would be another one with each rendering.
    assert not chart.of_kind("Secret")


def test_placement_images_and_pull_secrets_are_as_told(everything: Rendered) -> None:
    for where, pod in everything.pods():
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}], where
        if not where.startswith("Job/"):
            assert pod["spec"]["nodeSelector"] == {"disk": "ssd"}, where
            assert pod["spec"]["tolerations"][0]["key"] == "dedicated", where
    for where, container in everything.containers():
        assert container["image"].startswith("registry.example/"), where
        assert container["imagePullPolicy"] == "Always", where
