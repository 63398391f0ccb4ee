"""docs/recipes: the examples run, with this machine's addresses and keys."""

import dataclasses
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from jan_media.doctor.finding import Verdict
from jan_media.doctor.kong_yml import check_kong_yml
from jan_media.settings import load_settings

from demo.addresses import HOST, free_ports
from demo.images import drawn
from demo.in_thread import ServedInThread
from demo.kong_settings import ROOT
from demo.part import Part
from demo.stack import Stack, chosen_kong

RECIPES = ROOT / "docs" / "recipes"
KONG_YML: dict[str, Any] = yaml.safe_load((ROOT / "kong.yml").read_text("utf-8"))
STAND_IN = Path(__file__).parent / "lua"
SHOP = {
    "id": "7d1a4a3e-3f0e-4b0c-8a3c-0d2c5f1b9e11",
    "username": "shop",
    "keyauth_credentials": [{"key": "key-of-the-shop"}],
}
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def snippet(page: str, title: str, kind: str = "yaml") -> Any:
    """Return the block of a page whose first line is the comment ``title``, read."""
    text = (RECIPES / page).read_text("utf-8")
    found = re.search(rf"^```{kind}\n# {re.escape(title)}\n(.*?)^```$", text, re.M | re.S)
    assert found is not None, title
    # Through JSON, so that what an anchor shares in the page is not one object here.
    return json.loads(json.dumps(yaml.safe_load(found[1])))


class Keys(ServedInThread):
    """An identity provider's published keys."""

    def __init__(self) -> None:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
        document = json.dumps({"keys": [{**public, "kid": "1", "use": "sig"}]}).encode()

        class Published(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, format: str, *args: object) -> None:
                """Stays quiet."""

        super().__init__(ThreadingHTTPServer((HOST, 0), Published))


def signed(claims: dict[str, Any]) -> str:
    """Return a token of the provider's, good for five minutes."""
    now = int(time.time())
    times = {"iat": now, "exp": now + 300}
    return jwt.encode({**claims, **times}, KEY, "RS256", headers={"kid": "1"})


ADA = {"iss": "https://id.example.com/realms/jan", "aud": "jan", "sub": "ada"}


class StackWithKeyAuth(Stack):
    """A stack whose gateway has key-auth: Kong's own, or the stand-in beside this file."""

    def _gateway(self, secret: str, issuer: str) -> Part:
        part = super()._gateway(secret, issuer)
        if self.kong_bin:
            return part
        told = dict(part.environment)
        told["KONG_PLUGINS"] += ",key-auth"
        told["KONG_LUA_PACKAGE_PATH"] = f"{STAND_IN}/?.lua;{told['KONG_LUA_PACKAGE_PATH']}"
        return dataclasses.replace(part, environment=told)


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    """Where the provider's keys are published."""
    with Keys() as served:
        yield served.base_url


@contextmanager
def gateway(folder: Path, document: dict[str, Any]) -> Iterator[httpx.Client]:
    """A client of a gateway that runs a declarative config."""
    kong = chosen_kong(os.environ) or shutil.which("kong")
    if kong is None:
        document["consumers"] = [
            {name: value for name, value in each.items() if name != "keyauth_credentials"}
            for each in document.get("consumers", [])
        ]
    written = folder / "recipe.yml"
    written.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    stack = StackWithKeyAuth(folder / "stack", free_ports(), kong_bin=kong, kong_yml=written)
    with stack, httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client:
        yield client


def with_keys_at(document: dict[str, Any], keys: str) -> dict[str, Any]:
    """Have every issuer's keys be the test's own, and every service be on this machine."""
    for service in document["services"]:
        service.pop("tls_verify", None)
        if not service["url"].startswith("http://127.0.0.1:"):
            service["url"] = "http://127.0.0.1:8287/v1"
        for route in service["routes"]:
            for plugin in route.get("plugins", []):
                for issuer in plugin.get("config", {}).get("issuers", []):
                    issuer["jwks_url"] = keys
    return document


def beside(*names: str) -> list[dict[str, Any]]:
    """Return services of kong.yml."""
    services = json.loads(json.dumps(KONG_YML["services"]))
    return [each for each in services if each["name"] in names]


def chat(url: str) -> dict[str, Any]:
    """Return a chat with one picture."""
    content = [{"type": "image_url", "image_url": {"url": url}}]
    return {"model": "jan-v2-30b", "messages": [{"role": "user", "content": content}]}


def received(client: httpx.Client) -> dict[str, str]:
    """Return the headers of the last chat that the model received."""
    (*_, last) = (
        each for each in client.get("/v1/received").json() if each["path"].endswith("completions")
    )
    return {str(name).lower(): str(value) for name, value in last["headers"]}


# --- existing-kong.md


@pytest.fixture(scope="module")
def existing(tmp_path_factory: pytest.TempPathFactory, keys: str) -> Iterator[httpx.Client]:
    """A Kong with a shop of its own, to which the page's services are added."""
    shop = {
        "name": "shop",
        "url": "http://127.0.0.1:8287/v1/models",
        "routes": [{"name": "shop", "paths": ["/shop"], "plugins": [{"name": "key-auth"}]}],
    }
    added = snippet("existing-kong.md", "What is added to kong.yml")["services"]
    services = [shop, *added, *beside("jan-media-health")]
    keyed = snippet("existing-kong.md", "The plugins of both routes, with key-auth")["plugins"]
    open_ = snippet("existing-kong.md", "The plugins of the model's route, with auth off")
    of_sidecar = json.loads(json.dumps(keyed).replace('"resolve"', '"send_gateway_secret"'))
    for service in services:
        if service["name"] == "jan-llm":
            service["routes"] += [
                {"name": "keyed", "paths": ["/keyed/"], "plugins": keyed},
                {"name": "open", "paths": ["/open/"], "plugins": open_["plugins"]},
            ]
        if service["name"] == "jan-media-sidecar":
            route = {"name": "keyed-media", "paths": ["/keyed-media/"], "plugins": of_sidecar}
            service["routes"].append(route)
    document = {"_format_version": "3.0", "consumers": [SHOP], "services": services}
    with gateway(tmp_path_factory.mktemp("existing"), with_keys_at(document, keys)) as client:
        yield client


def test_what_was_there_goes_on(existing: httpx.Client) -> None:
    assert existing.get("/shop").status_code == 401
    assert existing.get("/shop", headers={"apikey": "key-of-the-shop"}).status_code == 200


def test_what_is_added_works(existing: httpx.Client) -> None:
    token = {"Authorization": f"Bearer {signed(ADA)}"}
    picture = drawn("existing.jpg")
    files = {"file": ("existing.jpg", picture)}
    answer = existing.post("/media/v1/media", headers=token, files=files)
    assert answer.status_code == 200, answer.text
    answer = existing.post("/v1/chat/completions", headers=token, json=chat(answer.json()["id"]))
    assert f"{len(picture)} bytes" in answer.text
    assert existing.get("/v1/models").status_code == 401


def test_a_consumer_of_key_auth_is_the_caller(existing: httpx.Client) -> None:
    key = {"apikey": "key-of-the-shop"}
    picture = drawn("keyed.jpg")
    answer = existing.post("/keyed-media/media", headers=key, files={"file": ("k.jpg", picture)})
    assert answer.status_code == 200, answer.text
    media_id = answer.json()["id"]
    answer = existing.post("/keyed/chat/completions", headers=key, json=chat(media_id))
    assert f"{len(picture)} bytes" in answer.text
    listed = existing.get("/keyed-media/media", headers=key).json()
    assert [each["id"] for each in listed["media"]] == [media_id]
    existing.headers["Authorization"] = f"Bearer {signed(ADA)}"
    told = received(existing)
    del existing.headers["Authorization"]
    assert (told["x-jan-user-id"], told["x-jan-issuer"]) == ("shop", "kong")


@pytest.mark.parametrize("path", ["/keyed/models", "/keyed-media/media"])
def test_without_the_key_nobody_is(existing: httpx.Client, path: str) -> None:
    forged = {"X-Consumer-Username": "shop", "X-Jan-User-Id": "shop"}
    assert existing.get(path, headers=forged).status_code == 401


def test_with_auth_off_ids_are_resolved_for_whom_others_let_in(existing: httpx.Client) -> None:
    token = {"Authorization": f"Bearer {signed(ADA)}"}
    picture = drawn("open.jpg")
    answer = existing.post("/media/v1/media", headers=token, files={"file": ("o.jpg", picture)})
    answer = existing.post("/open/chat/completions", json=chat(answer.json()["id"]))
    assert f"{len(picture)} bytes" in answer.text


def test_the_doctor_finds_nothing_wrong_with_what_is_added() -> None:
    settings = {
        "MEDIA_STORAGE_BACKEND": "local",
        "MEDIA_GATEWAY_SECRET": "a-secret-of-more-than-16-letters",
        "MEDIA_GUEST_LOGIN": "false",
    }
    added = yaml.safe_dump(snippet("existing-kong.md", "What is added to kong.yml"))
    environment = {"JAN_GATEWAY_SECRET": settings["MEDIA_GATEWAY_SECRET"]}
    findings = check_kong_yml(added, load_settings(settings), environment)
    assert [each for each in findings if each.verdict is not Verdict.OK] == []


def test_deck_is_told_to_leave_all_else_alone() -> None:
    begins = snippet("existing-kong.md", "jan-media.yaml begins so")
    assert begins["_info"]["select_tags"] == ["jan-media"]


# --- identity-providers.md


PROVIDERS = ["Keycloak", "Entra ID", "Auth0"]


def tokens() -> dict[str, dict[str, Any]]:
    """Return the claims that the page shows, by provider."""
    text = (RECIPES / "identity-providers.md").read_text("utf-8")
    shown = [json.loads(each) for each in re.findall(r"^```json\n(.*?)^```$", text, re.M | re.S)]
    return dict(zip(PROVIDERS, shown, strict=True))


@pytest.fixture(scope="module")
def with_providers(tmp_path_factory: pytest.TempPathFactory, keys: str) -> Iterator[httpx.Client]:
    """A gateway that believes all providers of the page."""
    document = json.loads(json.dumps(KONG_YML))
    records = [snippet("identity-providers.md", name) for name in PROVIDERS]
    for service in document["services"]:
        for route in service["routes"]:
            for plugin in route.get("plugins", []):
                if plugin.get("config", {}).get("issuers"):
                    plugin["config"]["issuers"] = records
    document["plugins"] = [each for each in document["plugins"] if "consumer" not in each]
    del document["consumers"]
    with gateway(tmp_path_factory.mktemp("providers"), with_keys_at(document, keys)) as client:
        yield client


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_token_as_the_provider_makes_it_is_admitted_with_its_roles(
    with_providers: httpx.Client, name: str
) -> None:
    claims = tokens()[name]
    with_providers.headers["Authorization"] = f"Bearer {signed(claims)}"
    answer = with_providers.post(
        "/v1/chat/completions", json={"model": "jan-v2-30b", "messages": []}
    )
    assert answer.status_code == 200, answer.text
    told = received(with_providers)
    assert told["x-jan-user-id"] == claims["sub"]
    assert told["x-jan-issuer"] == claims["iss"]
    assert "media-editors" in told["x-jan-groups"].split(",")


def test_a_wrong_audience_is_told_with_both_sides(with_providers: httpx.Client) -> None:
    claims = {**tokens()["Keycloak"], "aud": "account"}
    token = {"Authorization": f"Bearer {signed(claims)}"}
    answer = with_providers.get("/v1/models", headers=token)
    assert answer.status_code == 401
    message = answer.json()["error"]["message"]
    assert message in (RECIPES / "identity-providers.md").read_text("utf-8")


# --- cloud-model.md


def test_a_model_in_the_cloud_gets_its_own_key_and_nothing_of_the_caller(
    tmp_path: Path, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_AUTHORIZATION", "Bearer sk-of-the-provider")
    services = snippet("cloud-model.md", "The service of the model")["services"]
    added = snippet("existing-kong.md", "What is added to kong.yml")["services"]
    services += [each for each in added if each["name"] != "jan-llm"]
    document = {
        "_format_version": "3.0",
        "services": [*services, *beside("jan-media-health")],
    }
    with gateway(tmp_path, with_keys_at(document, keys)) as client:
        client.headers["Authorization"] = f"Bearer {signed(ADA)}"
        picture = drawn("cloud.jpg")
        answer = client.post("/media/v1/media", files={"file": ("cloud.jpg", picture)})
        cookie = {"Cookie": "session=1"}
        answer = client.post("/v1/chat/completions", json=chat(answer.json()["id"]), headers=cookie)
        assert f"{len(picture)} bytes" in answer.text
        told = received(client)
    assert told["authorization"] == "Bearer sk-of-the-provider"
    assert not [name for name in told if name.startswith("x-jan-") or name == "cookie"]
    assert "ada" not in json.dumps(told)
