"""What the doctor finds in a kong.yml: the project's own, damaged in each way that matters."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from jan_media.doctor.finding import Finding, Verdict
from jan_media.doctor.kong_yml import check_kong_yml
from jan_media.settings import Settings, load_settings

from demo.kong_settings import ROOT

SECRET = "s" * 32
KONG_YML = yaml.safe_load((ROOT / "kong.yml").read_text("utf-8"))
SETTINGS = load_settings({"MEDIA_STORAGE_BACKEND": "local", "MEDIA_GATEWAY_SECRET": SECRET})
KONG = {"JAN_GATEWAY_SECRET": SECRET}

Damage = Callable[[Any], object]


def service(document: Any, name: str) -> Any:
    return next(each for each in document["services"] if each["name"] == name)


def route(document: Any, name: str) -> Any:
    routes = [route for each in document["services"] for route in each["routes"]]
    return next(each for each in routes if each["name"] == name)


def plugin(document: Any, of: str, name: str) -> Any:
    return next(each for each in route(document, of)["plugins"] if each["name"] == name)


def config(document: Any, of: str, name: str) -> Any:
    return plugin(document, of, name)["config"]


def found(
    damage: Damage = lambda document: None,
    *,
    settings: Settings = SETTINGS,
    environment: dict[str, str] = KONG,
) -> list[Finding]:
    document = json.loads(json.dumps(KONG_YML))  # a copy in which nothing is one for two routes
    damage(document)
    return check_kong_yml(yaml.safe_dump(document), settings, environment)


def without(document: Any, of: str, name: str) -> Any:
    """Take a plugin off a route and return it."""
    taken = plugin(document, of, name)
    route(document, of)["plugins"].remove(taken)
    return taken


def add_route(document: Any, url: str, **more: Any) -> None:
    new = {"name": "new", "url": url, "routes": [{"name": "new", "paths": ["/new"], **more}]}
    document["services"].append(new)


def test_the_projects_own_kong_yml_is_fine() -> None:
    (only,) = found()
    assert (only.verdict, "media, files-api, llm" in only.message) == (Verdict.OK, True)


@pytest.mark.parametrize(
    ("damage", "at", "said"),
    [
        (lambda d: without(d, "llm", "acl"), "llm", "without the acl guard"),
        (lambda d: without(d, "media", "acl"), "media", "without the acl guard"),
        (lambda d: plugin(d, "llm", "acl").update(enabled=False), "llm", "without the acl guard"),
        (
            lambda d: (
                config(d, "llm", "jan-media").update(auth="optional"),
                without(d, "llm", "acl"),
            ),
            "llm",
            "without the acl guard",
        ),
        (
            lambda d: config(d, "llm", "acl").update(allow=None, deny=["bad"]),
            "llm",
            "no allow list",
        ),
        (
            lambda d: config(d, "llm", "acl").pop("always_use_authenticated_groups"),
            "llm",
            "always_use_authenticated_groups",
        ),
        (
            lambda d: (
                config(d, "llm", "jan-media").update(auth="off"),
                plugin(d, "llm", "acl").update(name="ai-proxy"),
            ),
            "llm",
            "auth: optional",
        ),
        (lambda d: without(d, "llm", "jan-media-gate"), "llm", "without jan-media-gate"),
        (lambda d: without(d, "readyz", "jan-media-gate"), "readyz", "without jan-media-gate"),
        (
            lambda d: plugin(d, "llm", "jan-media-gate").update(config={"guards": False}),
            "llm",
            "without jan-media-gate",
        ),
        (lambda d: without(d, "readyz", "jan-media"), "readyz", "ends with 503"),
        (lambda d: d["plugins"].pop(1), "llm", "without any limit"),
        (
            lambda d: config(d, "llm", "jan-media").update(auth="optional"),
            "llm",
            "Callers without a token reach the model",
        ),
        (
            lambda d: config(d, "llm", "jan-media")["issuers"][0].pop("consumer_id"),
            "llm",
            "without any limit",
        ),
        (
            lambda d: config(d, "llm", "jan-media")["issuers"].append(
                {"issuer": "https://id.example.com", "secret": "s" * 32, "audience": ["jan"]}
            ),
            "llm",
            "beside the users of another issuer",
        ),
        (
            lambda d: config(d, "media", "jan-media").update(gateway_secret="{vault://env/other}"),
            "media",
            "OTHER is not set",
        ),
        (
            lambda d: config(d, "media", "jan-media").pop("gateway_secret"),
            "media",
            "has no gateway",
        ),
        (
            lambda d: config(d, "media", "jan-media").pop("send_gateway_secret"),
            "media",
            "every request is a 401",
        ),
        (
            lambda d: config(d, "llm", "jan-media").update(send_gateway_secret=True),
            "llm",
            "which is not the sidecar",
        ),
        (lambda d: add_route(d, "http://127.0.0.1:8285/v1/media"), "new", "protected route media"),
        (lambda d: add_route(d, "http://127.0.0.1:8285"), "new", "protected route media"),
        (lambda d: add_route(d, "http://127.0.0.1:8287/"), "new", "protected route llm"),
        (lambda d: add_route(d, "http://127.0.0.1:8286/internal"), "new", "internal listener"),
    ],
)
def test_what_opens_the_gateway_or_breaks_a_route_is_found(
    damage: Damage, at: str, said: str
) -> None:
    findings = found(damage)
    assert any(
        finding.subject.removeprefix("route ") == at and said in finding.message
        for finding in findings
        if finding.verdict is not Verdict.OK
    ), findings


def test_a_config_without_the_plugin_is_a_problem() -> None:
    def bare(document: Any) -> None:
        for name in ("llm", "media", "files-api", "readyz"):
            without(document, name, "jan-media")

    (only,) = found(bare)
    assert (only.verdict, only.subject) == (Verdict.PROBLEM, "kong.yml")


@pytest.mark.parametrize(
    "damage",
    [
        # The guard may stand wherever Kong finds it.
        lambda d: service(d, "jan-llm").update(plugins=[without(d, "llm", "acl")]),
        lambda d: d["plugins"].append({**without(d, "llm", "acl"), "route": "llm"}),
        lambda d: d["plugins"].append({**without(d, "llm", "acl"), "service": {"name": "jan-llm"}}),
        # Paths of the sidecar that are open by design, and another upstream.
        lambda d: add_route(d, "http://127.0.0.1:8285/healthz"),
        lambda d: add_route(d, "http://127.0.0.1:9999/v1"),
        lambda d: config(d, "media", "acl").update(allow=["staff"]),
        # The guests' limit may name its consumer as Kong lets it.
        lambda d: d["plugins"][1].update(consumer="jan-guests"),
        lambda d: d["plugins"][1].update(consumer={"username": "jan-guests"}),
    ],
)
def test_what_keeps_it_closed_is_not_complained_about(damage: Damage) -> None:
    assert [finding.verdict for finding in found(damage)] == [Verdict.OK]


def test_the_most_special_plugin_counts_as_in_kong() -> None:
    def weaker_on_the_route(document: Any) -> None:
        strong = plugin(document, "llm", "acl")
        document["plugins"].append(copy.deepcopy(strong))
        strong["config"].pop("always_use_authenticated_groups")

    assert {finding.verdict for finding in found(weaker_on_the_route)} == {Verdict.PROBLEM}


@pytest.mark.parametrize(
    "for_one",
    [
        lambda d: d["plugins"].append({**without(d, "llm", "acl"), "consumer": "ann"}),
        lambda d: plugin(d, "llm", "acl").update(consumer="ann"),
    ],
)
def test_an_acl_for_one_consumer_is_no_guard(for_one: Damage) -> None:
    assert any("without the acl guard" in finding.message for finding in found(for_one))


def test_a_secret_that_is_not_the_sidecars_is_found_and_the_previous_one_is_right() -> None:
    wrong = found(environment={"JAN_GATEWAY_SECRET": "another"})
    assert {finding.verdict for finding in wrong} == {Verdict.PROBLEM}
    assert all("JAN_GATEWAY_SECRET" in finding.message for finding in wrong)
    rotating = load_settings(
        {
            "MEDIA_STORAGE_BACKEND": "local",
            "MEDIA_GATEWAY_SECRET": "n" * 32,
            "MEDIA_GATEWAY_SECRET_PREVIOUS": SECRET,
        }
    )
    assert [finding.verdict for finding in found(settings=rotating)] == [Verdict.OK]


def test_no_finding_tells_a_secret() -> None:
    def written_out(document: Any) -> None:
        config(document, "llm", "jan-media")["gateway_secret"] = "hidden-value"

    findings = found(written_out)
    assert findings
    assert not any("hidden-value" in f.message or SECRET in f.message for f in findings)


def test_guest_tokens_that_no_route_would_accept_are_a_warning() -> None:
    elsewhere = load_settings(
        {
            "MEDIA_STORAGE_BACKEND": "local",
            "MEDIA_GATEWAY_SECRET": SECRET,
            "MEDIA_ISSUER": "https://jan.example/llm",
        }
    )
    warned = [each for each in found(settings=elsewhere) if each.verdict is Verdict.WARNING]
    assert ["MEDIA_ISSUER" in each.message for each in warned] == [True] * 3


KEYS = "openid.example.com/keys"


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        ({"jwks_url": f"https://{KEYS}"}, "has no audience"),
        ({"jwks_url": f"https://{KEYS}", "audience": []}, "has no audience"),
        ({"jwks_url": f"http://{KEYS}", "audience": ["jan"]}, "plain http (jwks_url)"),
        ({"discovery_url": f"http://{KEYS}", "audience": ["jan"]}, "plain http (discovery_url)"),
        ({"jwks_url": "http://8.8.8.8/keys", "audience": ["jan"]}, "plain http (jwks_url)"),
    ],
)
def test_an_issuer_that_is_believed_too_easily_is_a_warning(
    issuer: dict[str, Any], said: str
) -> None:
    def add(document: Any) -> None:
        new = {"issuer": "https://id.example.com", **issuer}
        config(document, "media", "jan-media")["issuers"].append(new)

    (warned,) = [finding for finding in found(add) if finding.verdict is not Verdict.OK]
    assert (warned.verdict, said in warned.message) == (Verdict.WARNING, True)


@pytest.mark.parametrize("host", ["127.0.0.1:8285", "10.0.0.7", "sidecar:8285", "localhost"])
def test_keys_from_ones_own_network_may_come_over_plain_http(host: str) -> None:
    def add(document: Any) -> None:
        keys = {"jwks_url": f"http://{host}/keys", "audience": ["jan"]}
        config(document, "media", "jan-media")["issuers"].append({"issuer": "https://id", **keys})

    assert [finding.verdict for finding in found(add)] == [Verdict.OK]


@pytest.mark.parametrize(
    "text",
    [
        "gateway_secret: hidden: value",
        'gateway_secret: "hidden',
        "gateway_secret: *hidden",
        "gateway_secret: !hidden x",
        "services: [{url: 'http://user:hidden/@x', routes: [{plugins: [{name: jan-media}]}]}]",
    ],
)
def test_a_file_that_cannot_be_read_is_not_quoted(text: str) -> None:
    (only,) = check_kong_yml(text, SETTINGS, KONG)
    assert only.verdict is Verdict.PROBLEM
    assert "hidden" not in only.message


@pytest.mark.parametrize("text", ["services: [", "just text", "services: 3", "- a"])
def test_a_file_that_is_no_config_is_a_problem(text: str) -> None:
    (only,) = check_kong_yml(text, SETTINGS, KONG)
    assert only.verdict is Verdict.PROBLEM


def test_an_issuer_of_the_console_that_no_route_believes_is_found() -> None:
    settings = load_settings(
        {
            "MEDIA_STORAGE_BACKEND": "local",
            "MEDIA_GATEWAY_SECRET": SECRET,
            "MEDIA_CONSOLE_OIDC_ISSUER": "https://id.example.com",
            "MEDIA_CONSOLE_OIDC_CLIENT_ID": "console",
        }
    )
    findings = found(settings=settings)
    refused = [each for each in findings if "signs in on the console" in each.message]
    assert {each.verdict for each in refused} == {Verdict.WARNING}
    assert {each.subject for each in refused} >= {"route media", "route llm"}

    def believe(document: Any) -> None:
        for name in ("media", "llm", "files-api"):
            issuers = config(document, name, "jan-media")["issuers"]
            issuers.append({"issuer": "https://id.example.com", "audience": ["jan"]})

    mended = found(believe, settings=settings)
    assert [each for each in mended if "signs in on the console" in each.message] == []
