"""docker/compose.yaml, docker/kubernetes.yaml and the files that they use agree with each other, with the image and with the server."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from tests.support import servers

ROOT = servers.ROOT
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
MANIFESTS = [document for document in yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text()) if document]
# config/pinfold.yaml has every setting.
SETTINGS = re.findall(r"^([a-z][\w-]*): ", (ROOT / "config/pinfold.yaml").read_text(), re.MULTILINE)
VARIABLES = {"PINFOLD_" + name.upper().replace("-", "_") for name in SETTINGS}
SERVICES = COMPOSE["services"]


def of_image(instruction):
    return re.findall(rf"^{instruction} (.*)$", DOCKERFILE, re.MULTILINE)


PORTS = {int(port) for port in of_image("EXPOSE")[-1].split()}
ENVIRONMENT = dict(word.split("=", 1) for word in shlex.split(" ".join(of_image("ENV"))))
ADMIN_PORT = int(ENVIRONMENT["PINFOLD_ADMIN_PORT"])


def test_the_settings_of_the_image_exist():
    assert len(VARIABLES) > 50
    assert ENVIRONMENT and set(ENVIRONMENT) <= VARIABLES


def test_the_image_installs_the_libraries_that_the_server_needs():
    """As far as they are not in the base. test_image.py starts the server in the image."""
    if not shutil.which("dpkg-query"):
        pytest.skip("dpkg is not here")
    libraries = re.findall(r"=> (/\S+)", subprocess.run(["ldd", servers.pinfold_binary()], capture_output=True, text=True, check=True).stdout)
    owners = set()
    for library in libraries:
        for place in (library, "/usr" + library):
            found = subprocess.run(["dpkg-query", "--search", place], capture_output=True, text=True)
            owners |= {line.split(":")[0] for line in found.stdout.splitlines()}
    in_base = {"libc6", "libgcc-s1", "libstdc++6"}
    indirect = {"libfmt9"}  # of libspdlog1.10
    assert owners - in_base - indirect == set(re.findall(r"\blib[\w.+-]+\d\b", "\n".join(re.findall(r"^ {8}lib.*$", DOCKERFILE, re.MULTILINE))))


# --- compose.yaml ---


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_published_on_this_machine_alone_and_has_no_rights(name):
    service = SERVICES[name]
    assert service["ports"] and all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]
    assert not service.get("privileged") and "network_mode" not in service


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_that_is_not_built_here_has_a_version(name):
    if "build" in SERVICES[name]:
        assert (DOCKER / SERVICES[name]["build"]["context"] / SERVICES[name]["build"]["dockerfile"]).samefile(DOCKER / "Dockerfile")
    else:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_the_files_that_a_service_mounts_are_there(name):
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (DOCKER / source).exists(), source
            assert mount.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_the_services_ask_for_their_secrets():
    """Nothing starts with a password that stands in the file."""
    required = re.findall(r"\$\{(\w+):\?[^}]+\}", (DOCKER / "compose.yaml").read_text())
    assert set(required) == {"PINFOLD_REQUIREPASS", "PINFOLD_ADMIN_TOKEN", "GRAFANA_PASSWORD"}
    for service in SERVICES.values():
        for variable, value in service["environment"].items():
            if re.search("PASS|TOKEN|SECRET", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable


def test_the_admin_port_needs_a_token_where_others_reach_it():
    environment = SERVICES["pinfold"]["environment"]
    assert set(environment) <= VARIABLES
    assert "PINFOLD_ADMIN_BIND" in environment and "PINFOLD_ADMIN_TOKEN" in environment
    assert not [port for port in SERVICES["pinfold"]["ports"] if port.endswith(f":{ADMIN_PORT}")]
    assert {int(port.split(":")[-1]) for port in SERVICES["pinfold"]["ports"]} <= PORTS


def test_prometheus_writes_the_token_to_where_it_reads_it():
    service = SERVICES["prometheus"]
    (scrape,) = yaml.safe_load((DOCKER / "prometheus.yml").read_text())["scrape_configs"]
    file = scrape["authorization"]["credentials_file"]
    assert f">{file} " in service["entrypoint"][2]
    assert [where for where in service["tmpfs"] if file.startswith(where.split(":")[0] + "/")]
    assert scrape["static_configs"] == [{"targets": [f"pinfold:{ADMIN_PORT}"]}]
    assert set(service["networks"]) & set(SERVICES["pinfold"]["networks"])


def test_the_entrypoint_of_prometheus_passes_the_command_on(tmp_path):
    """The same words, with this machine's shell and another program in place of prometheus."""
    service = SERVICES["prometheus"]
    shell, dash_c, script, name = (word.replace("$$", "$") for word in service["entrypoint"])
    (tmp_path / "prometheus").write_text('#!/bin/sh\nprintf "%s\\n" "${PINFOLD_ADMIN_TOKEN-none}" "$@"\n')
    (tmp_path / "prometheus").chmod(0o755)
    script = script.replace("/run/pinfold/", f"{tmp_path}/")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PINFOLD_ADMIN_TOKEN": "t0 ken%s"}
    done = subprocess.run([shell, dash_c, script, name, *service["command"]], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["none", *service["command"]]
    assert (tmp_path / "admin-token").read_text() == "t0 ken%s"
    assert (tmp_path / "admin-token").stat().st_mode & 0o777 == 0o600


def prometheus_here_and_there():
    here, there = DOCKER / "prometheus.yml", ROOT / "config/prometheus/prometheus.yml"
    if not there.exists():
        pytest.skip(f"{there.relative_to(ROOT)} is not there")
    return yaml.safe_load(here.read_text()), yaml.safe_load(there.read_text())


def test_prometheus_in_the_container_does_what_prometheus_elsewhere_does():
    here, there = prometheus_here_and_there()
    for configuration in (here, there):
        for scrape in configuration["scrape_configs"]:
            scrape.pop("static_configs")
            scrape.pop("authorization", None)
    assert here == there


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not here")
def test_prometheus_accepts_its_configuration(tmp_path):
    prometheus_here_and_there()
    shutil.copytree(ROOT / "config/prometheus/rules", tmp_path / "rules")
    text = (DOCKER / "prometheus.yml").read_text().replace("/run/pinfold/admin-token", f"{tmp_path}/admin-token")
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "admin-token").write_text("t0ken")
    checked = subprocess.run(["promtool", "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_grafana_finds_its_dashboards_and_prometheus():
    provisioning = ROOT / "config/grafana/provisioning"
    if not provisioning.exists():
        pytest.skip(f"{provisioning.relative_to(ROOT)} is not there")
    mounts = {mount.split(":")[1]: (DOCKER / mount.split(":")[0]).resolve() for mount in SERVICES["grafana"]["volumes"] if mount.startswith(".")}
    assert mounts["/etc/grafana/provisioning"] == provisioning
    providers = [
        provider
        for file in (provisioning / "dashboards").glob("*.y*ml")
        for provider in yaml.safe_load(file.read_text())["providers"]
    ]  # fmt: skip
    assert providers
    for provider in providers:
        assert list(mounts[provider["options"]["path"]].glob("*.json"))
    sources = [source for file in (provisioning / "datasources").glob("*.y*ml") for source in yaml.safe_load(file.read_text())["datasources"]]
    urls = [re.sub(r"\$\{?(\w+)\}?", lambda found: SERVICES["grafana"]["environment"][found[1]], source["url"]) for source in sources]
    assert urls == ["http://prometheus:9090"]


# --- kubernetes.yaml ---


def manifest(kind):
    (found,) = (document for document in MANIFESTS if document["kind"] == kind)
    return found


POD = manifest("StatefulSet")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_there_is_one_of_each_kind_and_all_have_the_label():
    kinds = [document["kind"] for document in MANIFESTS]
    assert sorted(kinds) == ["ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "StatefulSet"]
    labels = {"app.kubernetes.io/name": "pinfold"}
    assert all(document["metadata"] == {"name": "pinfold", "labels": labels} for document in MANIFESTS)
    spec = manifest("StatefulSet")["spec"]
    selectors = [spec["selector"], manifest("PodDisruptionBudget")["spec"]["selector"], {"matchLabels": manifest("Service")["spec"]["selector"]}]
    selectors += [manifest("NetworkPolicy")["spec"]["podSelector"], *(spread["labelSelector"] for spread in POD["topologySpreadConstraints"])]
    assert all(selector == {"matchLabels": labels} for selector in selectors)
    assert spec["template"]["metadata"]["labels"] == labels
    assert spec["serviceName"] == manifest("Service")["metadata"]["name"]


def test_the_pod_has_no_rights():
    user = [int(number) for number in of_image("USER")[-1].split(":")]
    security = POD["securityContext"]
    assert security["runAsNonRoot"] is True and [security["runAsUser"], security["runAsGroup"]] == user
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert POD["automountServiceAccountToken"] is False


def test_kubernetes_sets_no_variable_that_the_server_takes_for_a_setting():
    assert POD["enableServiceLinks"] is False
    variables = [variable["name"] for variable in CONTAINER["env"]]
    assert set(variables) <= VARIABLES


def test_probes_ask_the_admin_port_for_pages_that_need_no_token():
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert set(ports.values()) == PORTS and ports["admin"] == ADMIN_PORT
    asked = {probe: CONTAINER[probe]["httpGet"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {probe: page["path"] for probe, page in asked.items()} == {
        "startupProbe": "/ready",
        "readinessProbe": "/ready",
        "livenessProbe": "/health",
    }
    assert {page["port"] for page in asked.values()} == {"admin"}
    open_pages = dict(re.findall(r"^\| `(/\w*)` \|.*\| (yes|no) \|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    assert open_pages["/ready"] == open_pages["/health"] == "no"
    named = {port["targetPort"] for port in manifest("Service")["spec"]["ports"]}
    named |= {port["port"] for rule in manifest("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
    assert named <= set(ports)


def test_secrets_and_settings_come_from_what_is_declared():
    # Nothing has a password that stands in a file: who applies the manifest makes the Secret, as the head of the file and the documentation say.
    read = [variable["valueFrom"]["secretKeyRef"] for variable in CONTAINER["env"] if "valueFrom" in variable]
    secrets = [variable["name"] for variable in CONTAINER["env"] if re.search("PASS|TOKEN", variable["name"])]
    assert len(read) == len(secrets) and all(not reference.get("optional") for reference in read)
    for file in (DOCKER / "kubernetes.yaml", ROOT / "docs/deployment.md"):
        ((name, literals),) = re.findall(r"kubectl create secret generic (\S+)((?: --from-literal=\S+ [^\"]*\"?\S*)+)", file.read_text())
        assert {(name, key) for key in re.findall(r"--from-literal=([\w-]+)=", literals)} == {(one["name"], one["key"]) for one in read}
    (mount,) = CONTAINER["volumeMounts"]
    (volume,) = POD["volumes"]
    assert mount["name"] == volume["name"] and volume["configMap"]["name"] == manifest("ConfigMap")["metadata"]["name"]
    assert CONTAINER["args"] == [f"{mount['mountPath']}/{name}" for name in manifest("ConfigMap")["data"]]


def test_memory_has_a_limit_and_nothing_may_be_promised_that_is_not_there():
    resources = CONTAINER["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" not in resources["limits"]
    settings = yaml.safe_load(manifest("ConfigMap")["data"]["pinfold.yaml"])
    assert settings["maxmemory"] == "auto" and str(settings["threads"]) == resources["requests"]["cpu"]


def test_the_server_accepts_the_settings_of_the_manifest(tmp_path):
    file = tmp_path / "pinfold.yaml"
    file.write_text(manifest("ConfigMap")["data"]["pinfold.yaml"].replace("# policies:", "policies:").replace("#   ", "  "))
    assert "policies" in yaml.safe_load(file.read_text())
    environment = ENVIRONMENT | {variable["name"]: variable.get("value", "something-long") for variable in CONTAINER["env"]}
    checked = subprocess.run([servers.pinfold_binary(), file, "--check"], env=servers.environment(environment), capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_image_has_the_version_of_the_project():
    version = re.search(r"^project\(pinfold VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)[1]
    assert CONTAINER["image"] == f"pinfold:{version}"


def test_the_profile_of_system_calls_is_what_compose_loads():
    (path,) = (word.split(":", 1)[1] for word in SERVICES["pinfold"]["security_opt"] if word.startswith("seccomp:"))
    assert json.loads((DOCKER / path).read_text())["defaultAction"] == "SCMP_ACT_ERRNO"
