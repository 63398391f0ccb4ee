"""deploy/: the files are valid for Kubernetes, Kong's chart and systemd."""

import configparser
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jan_media.settings import load_settings

from demo.addresses import Ports
from demo.kong_settings import ROOT, kong_environment

DEPLOY = ROOT / "deploy"
OLDEST, NEWEST = "1.28", "1.37"
MANIFESTS = ["sidecar.yaml", "kong-routes.yaml"]

# The fields of the KongPlugin resource, configuration.konghq.com/v1, beside those of any resource.
KONG_PLUGIN = {
    *("plugin", "config", "configFrom", "configPatches", "consumerRef", "disabled"),
    *("instance_name", "ordering", "protocols", "run_on"),
}
# The annotations that Kong's ingress controller reads, of those that are used here.
ON_INGRESS = {"plugins", "strip-path", "request-buffering", "methods"}
ON_SERVICE = {"path", "connect-timeout", "read-timeout", "write-timeout", "retries"}


def documents(name: str) -> list[dict[str, Any]]:
    """Return the resources of a manifest."""
    return list(yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text("utf-8")))


def of_kind(kind: str) -> list[dict[str, Any]]:
    """Return the resources of one kind, of all manifests."""
    return [each for name in MANIFESTS for each in documents(name) if each["kind"] == kind]


def resources() -> Iterator[Any]:
    for name in MANIFESTS:
        for each in documents(name):
            label = f"{each['kind']}/{each['metadata']['name']}"
            yield pytest.param(each, id=label)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("resource", list(resources()))
def test_kubernetes_takes_each_resource(resource: dict[str, Any], version: str) -> None:
    if resource["kind"] == "KongPlugin":
        assert resource["apiVersion"] == "configuration.konghq.com/v1"
        assert set(resource) - {"apiVersion", "kind", "metadata"} <= KONG_PLUGIN
        assert isinstance(resource["plugin"], str)
        return
    kubernetes_validate.validate(resource, version, strict=True)


def test_the_check_of_resources_can_fail() -> None:
    (deployment,) = of_kind("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


def test_what_a_resource_names_is_there() -> None:
    plugins = {each["metadata"]["name"] for each in of_kind("KongPlugin")}
    services = {each["metadata"]["name"]: each["spec"]["ports"] for each in of_kind("Service")}
    for ingress in of_kind("Ingress"):
        named = ingress["metadata"]["annotations"].get("konghq.com/plugins", "")
        assert set(filter(None, named.split(","))) <= plugins
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = [port["name"] for port in services[backend["name"]]]
                assert backend["port"]["name"] in ports
    (deployment,) = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        (resource,) = of_kind(kind)
        selector = resource["spec"].get("selector") or resource["spec"]["podSelector"]
        assert selector["matchLabels"].items() <= labels.items()


def test_annotations_are_those_that_the_controller_reads() -> None:
    for kind, known in (("Ingress", ON_INGRESS), ("Service", ON_SERVICE)):
        for resource in of_kind(kind):
            for name in resource["metadata"].get("annotations", {}):
                assert name.removeprefix("konghq.com/") in known


def test_every_route_with_the_plugin_has_the_gate_and_the_guard() -> None:
    plugins = {each["metadata"]["name"]: each for each in of_kind("KongPlugin")}
    guarded = 0
    for ingress in of_kind("Ingress"):
        named = ingress["metadata"]["annotations"].get("konghq.com/plugins", "").split(",")
        kinds = {plugins[name]["plugin"]: plugins[name].get("config", {}) for name in named if name}
        if "jan-media" in kinds:
            assert "jan-media-gate" in kinds
            guarded += kinds["jan-media"]["auth"] == "required"
            if kinds["jan-media"]["auth"] != "off":
                assert kinds["acl"]["allow"] == ["jan-users"]
    assert guarded == 3


def test_no_secret_is_written_into_a_manifest() -> None:
    (deployment,) = of_kind("Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if re.search("SECRET|KEY$|URL$", variable["name"]):
            assert set(variable) == {"name", "valueFrom"}
    assert of_kind("Secret") == []


def test_the_pod_has_no_rights_and_writes_nowhere_but_to_its_volumes() -> None:
    (deployment,) = of_kind("Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    user = re.search(r"useradd .*--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert user is not None
    assert pod["securityContext"]["runAsUser"] == int(user[1])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_sidecar_starts_with_the_settings_of_the_manifest() -> None:
    """Every variable is known, and together they are right."""
    (config,) = of_kind("ConfigMap")
    secrets = {
        "MEDIA_GATEWAY_SECRET": "a-secret-of-more-than-16-letters",
        "MEDIA_DATABASE_URL": "postgresql://jan:jan@localhost/jan",
        "MEDIA_S3_ACCESS_KEY": "key",
        "MEDIA_S3_SECRET_KEY": "secret",
    }
    (deployment,) = of_kind("Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert {name for name, value in given.items() if value is None} == set(secrets)
    in_image = {"MEDIA_LISTEN": "0.0.0.0:8285", "MEDIA_INTERNAL_LISTEN": "0.0.0.0:8286"}
    literal = {name: value for name, value in given.items() if value and name.startswith("MEDIA_")}
    literal.pop("MEDIA_SIGNING_KEY_FILE", None)
    assert load_settings({**in_image, **config["data"], **literal, **secrets}).warnings == []


def env_file(name: str) -> dict[str, str]:
    """Return the variables of a file that systemd reads."""
    lines = (DEPLOY / "systemd" / name).read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value.strip('"') for name, _, value in pairs}


def test_the_sidecar_starts_with_the_settings_of_the_systemd_unit() -> None:
    read = load_settings({**env_file("sidecar.env"), "MEDIA_GATEWAY_SECRET": "x" * 32})
    assert read.warnings == []


KONG_TOLD = kong_environment(Path("/usr/local/kong"), Path("/etc/kong/kong.yml"), Ports(), "secret")
# The chart, the unit and Kong's own defaults have these.
OF_ONE_MACHINE = {
    *("KONG_DATABASE", "KONG_DECLARATIVE_CONFIG", "KONG_PREFIX", "KONG_PROXY_LISTEN"),
    *("KONG_ADMIN_LISTEN", "KONG_ADMIN_GUI_LISTEN", "KONG_STATUS_LISTEN"),
    *("KONG_NGINX_DAEMON", "KONG_NGINX_USER", "KONG_NGINX_WORKER_PROCESSES"),
    *("KONG_LOG_LEVEL", "KONG_PROXY_ERROR_LOG", "KONG_ANONYMOUS_REPORTS"),
}
OF_A_PLACE = {"KONG_LUA_PACKAGE_PATH", "KONG_ERROR_TEMPLATE_JSON", "KONG_NGINX_USER"}


def told_to_kong() -> Iterator[Any]:
    values = yaml.safe_load((DEPLOY / "kubernetes" / "kong-values.yaml").read_text("utf-8"))
    chart = {f"KONG_{name.upper()}": str(value) for name, value in values["env"].items()}
    yield pytest.param(chart, "/kong_prefix", id="chart")
    yield pytest.param(env_file("kong.env"), "/usr/local/kong", id="systemd")


@pytest.mark.parametrize(("told", "prefix"), list(told_to_kong()))
def test_kong_is_told_what_make_up_tells_it(told: dict[str, str], prefix: str) -> None:
    for name, value in told.items():
        if name in OF_A_PLACE or name == "KONG_PREFIX":
            continue
        expected = re.sub(r"^\S*/bin/python[0-9.]*", "/opt/jan/bin/python", KONG_TOLD[name])
        assert value == expected.replace("/usr/local/kong", prefix), name
    assert {name for name in KONG_TOLD if name.startswith("KONG_")} - set(told) <= OF_ONE_MACHINE


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "jan-media-sidecar.service"
    text = (DEPLOY / "systemd" / unit.name).read_text("utf-8")
    # The program is not installed here.
    unit.write_text(text.replace("/opt/jan/bin/jan-media", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        check=False,
    )
    about = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, about) == (0, [])


def test_the_unit_gives_up_all_rights() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "jan-media-sidecar.service")
    service = unit["Service"]
    assert service["CapabilityBoundingSet"] == ""
    assert (service["NoNewPrivileges"], service["ProtectSystem"]) == ("yes", "strict")
    assert service["Restart"] == "on-failure"
