"""deploy/kubernetes/kong-routes.yaml, run in a gateway, does what kong.yml does.

Kong's ingress controller turns these resources into services, routes and plugins. Here a few lines
do the same, and a gateway runs the result.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from demo.addresses import HOST, Ports, free_ports
from demo.images import drawn
from demo.kong_settings import ROOT
from demo.stack import Stack, chosen_kong

ROUTES = ROOT / "deploy" / "kubernetes" / "kong-routes.yaml"
KONG_YML: dict[str, Any] = yaml.safe_load((ROOT / "kong.yml").read_text("utf-8"))

# For tests: where to get a token, and what the stack waits for.
BESIDE = ("jan-media-auth", "jan-media-health")
GUESTS = {
    "issuer": "http://localhost:8000/llm",
    "jwks_url": "http://127.0.0.1:8285/.well-known/jwks.json",
    "audience": ["jan"],
    "algorithms": ["ES256"],
}


def as_kong_gets_it() -> dict[str, Any]:
    """Return Kong's declarative configuration for the resources."""
    resources = list(yaml.safe_load_all(ROUTES.read_text("utf-8")))
    by_kind: dict[str, dict[str, Any]] = {}
    for each in resources:
        by_kind.setdefault(each["kind"], {})[each["metadata"]["name"]] = each
    services = [each for each in KONG_YML["services"] if each["name"] in BESIDE]
    for name, ingress in by_kind["Ingress"].items():
        notes = annotations(ingress)
        (rule,) = ingress["spec"]["rules"]
        paths = rule["http"]["paths"]
        (serving,) = {path["backend"]["service"]["name"] for path in paths}
        backend = by_kind["Service"][serving]
        (port,) = backend["spec"]["ports"]
        of_service = annotations(backend)
        services.append(
            {
                "name": f"{name}.{backend['metadata']['name']}",
                "url": f"http://{HOST}:{port['port']}{of_service.get('path', '')}",
                **{
                    key: int(of_service[written])
                    for key, written in (("read_timeout", "read-timeout"), ("retries", "retries"))
                    if written in of_service
                },
                "routes": [
                    {
                        "name": name,
                        "paths": [each for path in paths for each in kongs_paths(path)],
                        "strip_path": notes["strip-path"] == "true",
                        "request_buffering": notes.get("request-buffering", "true") == "true",
                        **({"methods": notes["methods"].split(",")} if "methods" in notes else {}),
                        "plugins": [
                            plugin(by_kind["KongPlugin"][each])
                            for each in notes.get("plugins", "").split(",")
                            if each
                        ],
                    }
                ],
            }
        )
    return {"_format_version": "3.0", "services": services}


def kongs_paths(path: dict[str, Any]) -> list[str]:
    """Return what Kong matches for one path of an Ingress, as Kubernetes means its type."""
    written = path["path"]
    return {
        "Exact": [f"~{written}$"],
        "Prefix": [f"~{written}$", f"{written}/"],
        "ImplementationSpecific": [written],
    }[path["pathType"]]


def annotations(resource: dict[str, Any]) -> dict[str, str]:
    """Return what a resource tells the controller."""
    notes = resource["metadata"].get("annotations", {})
    return {name.removeprefix("konghq.com/"): value for name, value in notes.items()}


def plugin(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a plugin of Kong's, with the addresses and the issuer of this machine."""
    config = dict(resource.get("config", {}))
    if "sidecar_url" in config:
        config["sidecar_url"] = f"http://{HOST}:{Ports().internal}"
        config["issuers"] = [GUESTS]
    return {"name": resource["plugin"], "config": config}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client with a token, of a gateway that runs the resources."""
    folder = tmp_path_factory.mktemp("kubernetes")
    written: Path = folder / "from-kubernetes.yml"
    written.write_text(yaml.safe_dump(as_kong_gets_it()), "utf-8")
    kong = chosen_kong(os.environ) or shutil.which("kong")
    with (
        Stack(folder / "stack", free_ports(), kong_bin=kong, kong_yml=written) as stack,
        httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client,
    ):
        token = client.post("/llm/auth/guest-login").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_an_uploaded_picture_is_seen_by_the_model(gateway: httpx.Client) -> None:
    picture = drawn("routes.jpg")
    answer = gateway.post("/media/v1/media", files={"file": ("routes.jpg", picture)})
    assert answer.status_code == 200, answer.text
    content = [{"type": "image_url", "image_url": {"url": answer.json()["id"]}}]
    chat = {"model": "jan-v2-30b", "messages": [{"role": "user", "content": content}]}
    said = gateway.post("/v1/chat/completions", json=chat).json()["choices"][0]["message"]
    assert f"{len(picture)} bytes" in said["content"]


def test_the_files_api_is_in_front_of_the_model(gateway: httpx.Client) -> None:
    files = gateway.get("/v1/files")
    assert files.status_code == 200, files.text
    assert files.json()["object"] == "list"


def test_the_nodes_own_probe_is_answered(gateway: httpx.Client) -> None:
    assert gateway.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/", "/console/", "/console/app.js", "/docs/"])
def test_people_find_the_console_and_the_reference(gateway: httpx.Client, path: str) -> None:
    answer = httpx.get(gateway.base_url.join(path), trust_env=False)
    assert answer.status_code == 200
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("path", ["/v1/models", "/media/v1/media"])
def test_nobody_gets_in_without_a_token(gateway: httpx.Client, path: str) -> None:
    answer = httpx.get(gateway.base_url.join(path), trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
