"""The plugin's decision on a request, over the real protocol: admitted as whom, or answered how."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from jan_media_plugin.exchange import PIECE_BYTES

from tests.support.kong_driver import KongDriver, Outcome, PluginServerProcess, ScriptedRequest
from tests.unit.plugin.bodies import ID, OTHER_ID
from tests.unit.plugin.conftest import ADMIT, PIECE, Ask, Config, filled
from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.tokens import ISSUER, token

URL = "https://media.example/x?a=1"
JSON_TYPE = {"content-type": "application/json"}


def bearer(text: str | None = None) -> dict[str, Any]:
    return {"authorization": f"Bearer {text or token()}"}


def chat(*ids: str, padding: int = 0) -> bytes:
    parts = [{"type": "image_url", "image_url": {"url": one}} for one in ids]
    text = {"type": "text", "text": "A" * padding}
    return json.dumps({"model": "m", "messages": [{"content": [text, *parts]}]}).encode()


def error(outcome: Outcome) -> dict[str, Any]:
    assert outcome.kind == "exited"
    assert outcome.headers["Content-Type"] == "application/json"
    document = json.loads(outcome.body)
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"type", "code", "message", "param"}
    return {**document["error"], "status": outcome.status}


# --- how many calls Kong has to make, which is what a request costs


BODY = "kong.request.get_raw_body"
GET, EXIT = "kong.ctx.shared.get", "kong.response.exit"


def calls(ask: Ask, *request: Any, **changes: Any) -> list[str]:
    """Return the calls of a request that comes again: what there is to know is known."""
    ask(*request, **changes)
    return ask(*request, **changes)[1].calls


def test_what_requests_cost(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    assert calls(ask) == [GET, EXIT]
    assert calls(ask, bearer()) == [GET, ADMIT]
    for body in (chat(), chat(ID), chat(ID, OTHER_ID, ID)):
        sidecar.media[OTHER_ID] = URL
        assert calls(ask, {**bearer(), **JSON_TYPE}, body) == [GET, ADMIT]
    body = chat(ID, padding=500_000)
    assert calls(ask, {**bearer(), **JSON_TYPE}, body) == [GET, BODY, ADMIT]
    assert calls(ask, auth="off", resolve=False) == [GET, ADMIT]  # a word that it has looked


def test_the_grant_is_the_last_call(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    outcome, request = ask({**bearer(), **JSON_TYPE}, chat(ID))
    assert outcome.kind == "passed"
    assert request.calls[-1] == ADMIT
    assert request.shared == {"authenticated_groups": ["jan-users"]}


def test_a_chat_without_ids_is_not_sent_back(ask: Ask) -> None:
    _, request = ask({**bearer(), **JSON_TYPE}, chat())
    assert request.body_set is None


def test_naming_the_consumer_costs_no_call(ask: Ask) -> None:
    _, request = ask(bearer(), set_consumer=True)
    assert request.calls == [GET, ADMIT]
    assert request.authenticated is not None
    consumer, credential = request.authenticated
    assert consumer["username"] == "alice"
    assert credential["consumer_id"] == consumer["id"]


def test_all_callers_of_an_issuer_may_be_one_consumer_with_credentials_of_their_own(
    ask: Ask, config: Config
) -> None:
    config["issuers"][0]["consumer_id"] = "8c9cb99d-6ea2-4ad1-a4ff-5a8d5e3b7f26"
    identities = [ask(bearer(token(sub=name)))[1].authenticated for name in ("alice", "bob")]
    (alice, alices), (bob, bobs) = (each for each in identities if each)
    assert alice == bob == {"id": "8c9cb99d-6ea2-4ad1-a4ff-5a8d5e3b7f26"}
    assert alices["consumer_id"] == bobs["consumer_id"] == alice["id"]
    assert alices["id"] != bobs["id"]


def test_a_route_without_the_gate_refuses_every_request(
    plugin_server: PluginServerProcess, config: Config
) -> None:
    with KongDriver(plugin_server.path, plugin="jan-media") as kong:
        request = ScriptedRequest(headers={"authorization": f"Bearer {token()}"})
        outcome = kong.request(request, filled(config))
    assert (error(outcome)["status"], error(outcome)["code"]) == (500, "gateway_misconfigured")


# --- who is calling


def test_a_tokens_claims_become_identity_headers_and_groups(ask: Ask) -> None:
    _, request = ask(bearer(token(groups=["staff", "a,b"])))
    assert request.headers_set == {
        "X-Jan-User-Id": "alice",
        "X-Jan-Issuer": ISSUER,
        "X-Jan-Groups": "staff,a%2Cb",
        "authorization": [],
    }
    assert request.shared["authenticated_groups"] == ["jan-users", "staff", "a,b"]


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key"])
def test_a_token_may_come_where_clients_of_other_apis_put_it(ask: Ask, header: str) -> None:
    _, request = ask({header: token()})
    assert request.headers_set["X-Jan-User-Id"] == "alice"
    assert request.headers_set[header] == []
    refusal, _ = ask({header: token(exp=1)})
    assert error(refusal)["code"] == "token_expired"


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key"])
def test_an_api_key_is_whoever_the_sidecar_says(
    ask: Ask, sidecar: FakeSidecar, header: str
) -> None:
    sidecar.keys["sk_12345678"] = {"valid": True, "user_id": "bob", "groups": ["ci"]}
    value = "Bearer sk_12345678" if header == "authorization" else "sk_12345678"
    for _ in range(2):
        _, request = ask({header: value})
        assert request.headers_set["X-Jan-User-Id"] == "bob"
        assert request.headers_set["X-Jan-Issuer"] == ""
        assert request.shared["authenticated_groups"] == ["jan-users", "ci"]
    assert len(sidecar.questions("/internal/keys/verify")) == 1


def test_api_keys_need_the_sidecar_but_only_once(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.keys["sk_12345678"] = {"valid": True, "user_id": "bob", "groups": []}
    assert ask({"x-api-key": "sk_12345678"})[0].kind == "passed"
    sidecar.broken = True
    assert ask({"x-api-key": "sk_12345678"})[0].kind == "passed"
    outcome, request = ask({"x-api-key": "sk_unknown-so-far"})
    assert error(outcome)["status"] == 503
    assert outcome.headers["Retry-After"] == "1"
    assert request.shared == {}


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": ""}, 401, "invalid_token"),
        ({"authorization": "Basic YTpi"}, 401, "invalid_token"),
        ({"authorization": "Bearer"}, 401, "invalid_token"),
        ({"authorization": "Bearer a b"}, 401, "invalid_token"),
        ({"authorization": "Bearer nonsense"}, 401, "invalid_token"),
        ({"authorization": b"Bearer \xff.\xff.\xff"}, 401, "invalid_token"),
        ({"authorization": f"Bearer {token(exp=1)}"}, 401, "token_expired"),
        ({"authorization": "Bearer " + "a" * 9000 + ".b.c"}, 401, "invalid_token"),
        ({"authorization": "Bearer sk-proj-abc"}, 401, "invalid_api_key"),
        ({"x-api-key": "sk-ant-api03-abc"}, 401, "invalid_api_key"),
        ({"authorization": "Bearer sk_never-made-1"}, 401, "invalid_api_key"),
        ({"x-api-key": "sk_\u00fc"}, 401, "invalid_api_key"),
        ({"authorization": ["Bearer a.b.c", "Bearer a.b.c"]}, 400, "ambiguous_credentials"),
        (
            {"authorization": "Bearer a.b.c", "x-api-key": "sk_12345678"},
            400,
            "ambiguous_credentials",
        ),
        (
            {"x-api-key": "sk_12345678", "x-goog-api-key": "sk_12345678"},
            400,
            "ambiguous_credentials",
        ),
    ],
)
@pytest.mark.parametrize("auth", ["required", "optional"])
def test_bad_credentials_are_refused_with_a_challenge(
    ask: Ask, headers: dict[str, Any], status: int, code: str, auth: str
) -> None:
    outcome, request = ask(headers, auth=auth)
    refusal = error(outcome)
    assert (refusal["status"], refusal["code"]) == (status, code)
    assert outcome.headers["WWW-Authenticate"].startswith('Bearer realm="jan"')
    assert request.shared == {}
    assert request.headers_set == {}


def test_no_credentials_are_refused_with_a_challenge_that_names_no_error(ask: Ask) -> None:
    outcome, _ = ask()
    assert (error(outcome)["status"], error(outcome)["code"]) == (401, "unauthenticated")
    assert outcome.headers["WWW-Authenticate"] == 'Bearer realm="jan"'


def test_optional_admits_nobody_in_particular_without_identity(ask: Ask) -> None:
    outcome, request = ask({"x-jan-user-id": "root"}, auth="optional")
    assert outcome.kind == "passed"
    assert request.headers_set == {"x-jan-user-id": []}
    assert request.shared == {"authenticated_groups": ["jan-users"]}


# --- what the upstream gets to see


@pytest.mark.parametrize("auth", ["required", "off"])
def test_identity_that_a_client_sends_is_removed_in_any_spelling(ask: Ask, auth: str) -> None:
    spellings = ["x_jan_user_id", "x-jan_groups", "x.jan.issuer", "X_JAN_GATEWAY_SECRET"]
    sent: dict[str, Any] = {"x-jan-user-id": ["root", "root"], **dict.fromkeys(spellings, "root")}
    _, request = ask({**bearer(), **sent, "x-janet": "mine"}, auth=auth)
    assert {name: request.headers_set[name] for name in spellings} == {
        name: [] for name in spellings
    }
    assert request.headers_set["X-Jan-User-Id" if auth == "required" else "x-jan-user-id"] == (
        "alice" if auth == "required" else []
    )
    assert "x-janet" not in request.headers_set
    # One name, one meaning: Kong sets and removes in no order.
    names = [name.lower() for name in request.headers_set]
    assert len(set(names)) == len(names)


KONGS_IDENTITY = [
    *("x-consumer-id", "x-consumer-username", "x-consumer-custom-id", "x-consumer-groups"),
    *("x-credential-identifier", "x-credential-username", "x-anonymous-consumer"),
    *("x-authenticated-groups", "x-authenticated-userid", "x_authenticated.scope"),
]


@pytest.mark.parametrize("auth", ["required", "optional"])
def test_the_identity_headers_of_kong_and_all_of_ours_are_removed_too(ask: Ask, auth: str) -> None:
    names = [*KONGS_IDENTITY, "x-jan-roles", "X_JAN_TENANT"]
    _, request = ask({**bearer(), **dict.fromkeys(names, "root")}, auth=auth)
    assert all(request.headers_set[name] == [] for name in names)


def test_without_auth_of_ours_those_of_kongs_own_plugins_stay(ask: Ask) -> None:
    _, request = ask(dict.fromkeys([*KONGS_IDENTITY, "x-jan-roles"], "kong's"), auth="off")
    assert request.headers_set == {"x-jan-roles": []}


@pytest.mark.parametrize(
    "value",
    [
        *("x-jan-issuer", "close, X-Jan-User-Id", "X-Jan-Gateway-Secret,keep-alive"),
        *("authorization", "content-length", "host", "\udcff", "close;x-jan-issuer"),
        ["keep-alive", "x-jan-groups"],
    ],
)
@pytest.mark.parametrize("auth", ["required", "off"])
def test_a_connection_header_that_would_take_the_identity_away_is_refused(
    ask: Ask, value: Any, auth: str
) -> None:
    # Kong removes what Connection names after its plugins have run. Without its issuer a token's
    # subject would be the owner of an API key of that name.
    outcome, request = ask({**bearer(), "connection": value}, auth=auth)
    assert (error(outcome)["status"], error(outcome)["code"]) == (400, "invalid_connection_header")
    assert request.shared == {}


@pytest.mark.parametrize(
    "value",
    ["", "close", "Keep-Alive, Upgrade", "upgrade, HTTP2-Settings", "TE, close", ["te", ""]],
)
def test_the_usual_connection_headers_are_taken(ask: Ask, value: Any) -> None:
    assert ask({**bearer(), "connection": value})[0].kind == "passed"


@pytest.mark.parametrize("auth", ["required", "off"])
def test_cookies_and_the_identity_headers_of_other_proxies_do_not_go_on(
    ask: Ask, auth: str
) -> None:
    theirs = {
        "cookie": "session=1",
        "forwarded": "for=1.2.3.4",
        "x-original-url": "/admin",
        "x-forwarded-user": "root",
        "remote_user": "root",
        "x-user": "root",
        "x-auth-request-email": "root@example.com",
        "x.auth.request.anything": "1",
    }
    fine = {"x-user-agent": "sdk/1", "x-forwarded-for": "1.2.3.4", "x-custom": "1"}
    _, request = ask({**bearer(), **theirs, **fine}, auth=auth)
    assert {name for name, value in request.headers_set.items() if value == []} == {
        "authorization",
        *theirs,
    }


def test_which_headers_do_not_go_on_can_be_configured(ask: Ask) -> None:
    sent = {"cookie": "session=1", "x-secret-a": "1", "x-secretary": "1", "x-exact": "1"}
    _, request = ask({**bearer(), **sent}, hide_headers=["X-Secret-*", "X-Exact"])
    removed = {name for name, value in request.headers_set.items() if value == []}
    assert removed == {"authorization", "x-secret-a", "x-exact"}


def test_credentials_reach_the_upstream_only_if_configured(ask: Ask) -> None:
    sent = {**bearer(), "proxy-authorization": "Basic x", "x_api_key": "y"}
    _, request = ask(sent)
    assert all(request.headers_set[name] == [] for name in sent)
    _, request = ask(sent, hide_credentials=False)
    assert not sent.keys() & request.headers_set.keys()


def test_the_upstream_gets_its_own_key_and_the_sidecar_its_secret(ask: Ask) -> None:
    secrets = {"upstream_authorization": "Bearer upstream", "gateway_secret": "s" * 32}
    _, request = ask(bearer(), **secrets)
    assert request.headers_set["Authorization"] == "Bearer upstream"
    assert "authorization" not in request.headers_set
    assert "X-Jan-Gateway-Secret" not in request.headers_set
    _, request = ask(bearer(), **secrets, send_gateway_secret=True)
    assert request.headers_set["X-Jan-Gateway-Secret"] == "s" * 32


def test_an_upstream_with_a_key_of_its_own_is_not_told_who_calls(ask: Ask) -> None:
    identity = {"X-Jan-User-Id", "X-Jan-Issuer", "X-Jan-Groups"}
    _, request = ask({**bearer(), "x-jan-user-id": "root"}, upstream_authorization="Bearer theirs")
    assert request.headers_set["x-jan-user-id"] == []
    assert not identity & request.headers_set.keys()
    own = {"upstream_authorization": "Bearer ours", "identity_headers": True}
    assert identity <= ask(bearer(), **own)[1].headers_set.keys()
    assert not identity & ask(bearer(), identity_headers=False)[1].headers_set.keys()


@pytest.mark.parametrize(
    ("consumer", "subject"),
    [
        ({"id": "u-1", "username": "shop", "custom_id": "shop-7"}, "shop-7"),
        ({"id": "u-1", "username": "shop"}, "shop"),
        ({"id": "u-1"}, "u-1"),
    ],
)
def test_a_consumer_of_kongs_is_the_caller(
    ask: Ask, consumer: dict[str, str], subject: str
) -> None:
    outcome, request = ask(auth="consumer", consumer=consumer, issuers=[], api_keys=False)
    assert outcome.kind == "passed"
    assert request.headers_set["X-Jan-User-Id"] == subject
    assert request.headers_set["X-Jan-Issuer"] == "kong"
    assert request.shared["authenticated_groups"] == ["jan-users"]
    assert request.authenticated is None  # Kong knows its consumer already


def test_without_a_consumer_nobody_gets_in_whatever_the_headers_say(ask: Ask) -> None:
    forged = {**bearer(), "x-consumer-id": "u-1", "x-consumer-username": "shop"}
    outcome, request = ask(forged, auth="consumer")
    assert error(outcome)["status"] == 401
    assert request.shared == {}


def test_a_consumer_whose_name_no_header_can_hold_is_refused(ask: Ask) -> None:
    outcome, _ = ask(auth="consumer", consumer={"id": "u-1", "username": "a\nb"})
    assert error(outcome)["status"] == 401


def test_so_many_headers_that_kong_may_hide_some_are_refused(ask: Ask) -> None:
    many = {f"x-{number}": "" for number in range(999)}
    assert error(ask({**many, **bearer()})[0])["status"] == 431
    repeated = {"x": ["1"] * 999, **bearer()}
    assert error(ask(repeated)[0])["status"] == 431
    assert ask({"x": ["1"] * 990, **bearer()})[0].kind == "passed"


@pytest.mark.parametrize(
    "filler",
    [
        pytest.param(lambda room: {"x": b"a" * (room - 5)}, id="one line"),
        pytest.param(lambda room: {"x": b"\xff" * (room - 5)}, id="bytes that are not UTF-8"),
        pytest.param(
            lambda room: {"x" * (2 - room % 2): "ä".encode() * ((room - 5) // 2)}, id="two a letter"
        ),
        pytest.param(lambda room: {"x" * (room - 4): b""}, id="a long name without a value"),
        pytest.param(
            lambda room: {"x": [b"a"] * 9 + [b"a" * (room - 54 - 5)]}, id="a name on many lines"
        ),
    ],
)
def test_headers_over_the_limit_are_refused_and_both_numbers_named(
    ask: Ask, filler: Callable[[int], dict[str, Any]]
) -> None:
    limit, known = 1024, bearer()
    room = limit - sum(len(f"{name}: {value}\r\n") for name, value in known.items())
    assert ask({**known, **filler(room)}, max_header_bytes=limit)[0].kind == "passed"
    refused = error(ask({**known, **filler(room + 1)}, max_header_bytes=limit)[0])
    assert (refused["status"], refused["code"]) == (431, "headers_too_large")
    assert str(limit) in refused["message"]
    assert str(limit + 1) in refused["message"]


# --- media in bodies


def test_ids_become_urls_and_each_is_asked_for_once(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media = {ID: URL, OTHER_ID: URL + "&b"}
    for _ in range(2):
        _, request = ask({**bearer(), **JSON_TYPE}, chat(ID, ID.upper(), OTHER_ID))
        assert request.body_set == chat(URL, URL, URL + "&b")
    assert sidecar.questions("/internal/resolve") == [{"names": [ID, OTHER_ID], "fit": None}]


def test_a_url_with_less_than_half_its_life_left_is_asked_for_again(
    ask: Ask, sidecar: FakeSidecar
) -> None:
    sidecar.media[ID] = URL
    sidecar.left = sidecar.ttl / 2
    for _ in range(2):
        ask({**bearer(), **JSON_TYPE}, chat(ID))
    assert len(sidecar.questions("/internal/resolve")) == 2


def test_the_sidecar_is_shown_the_gateways_secret(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    ask({**bearer(), **JSON_TYPE}, chat(ID), gateway_secret="s" * 32)
    assert sidecar.headers[-1]["x-jan-gateway-secret"] == "s" * 32


def test_an_id_without_media_is_refused_by_its_place(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    outcome, request = ask({**bearer(), **JSON_TYPE}, chat(ID, OTHER_ID))
    refusal = error(outcome)
    assert (refusal["status"], refusal["type"]) == (400, "invalid_request_error")
    assert refusal["code"] == "media_not_found"
    assert refusal["param"] == "messages[0].content[2].image_url.url"
    assert request.body_set is None


def test_or_it_is_left_as_it_is_where_that_is_configured(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    _, request = ask({**bearer(), **JSON_TYPE}, chat(ID, OTHER_ID), unresolved="pass")
    assert request.body_set == chat(URL, OTHER_ID)


def test_media_too_large_to_be_put_in_is_a_size_error(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    sidecar.contents[ID] = b"x" * 4000
    outcome, _ = ask(
        {**bearer(), **JSON_TYPE}, chat(ID), resolve_as="data_url", max_body_bytes=4096
    )
    assert error(outcome)["status"] == 413


def test_without_the_sidecar_only_known_ids_are_resolved(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media = {ID: URL, OTHER_ID: URL}
    assert ask({**bearer(), **JSON_TYPE}, chat(ID))[0].kind == "passed"
    sidecar.broken = True
    assert ask({**bearer(), **JSON_TYPE}, chat(ID))[0].kind == "passed"
    outcome, request = ask({**bearer(), **JSON_TYPE}, chat(ID, OTHER_ID))
    assert error(outcome)["status"] == 503
    assert outcome.headers["Retry-After"] == "1"
    assert (request.body_set, request.shared) == (None, {})


def test_a_sidecar_that_is_too_slow_is_not_waited_for(ask: Ask, sidecar: FakeSidecar) -> None:
    ask(bearer())
    sidecar.delay = 2.0
    outcome, _ = ask({**bearer(), **JSON_TYPE}, chat(ID), timeout_ms=100)
    assert error(outcome)["status"] == 503


def test_too_many_ids_are_refused(ask: Ask) -> None:
    ids = [f"jan_{number:026d}" for number in range(4)]
    outcome, _ = ask({**bearer(), **JSON_TYPE}, chat(*ids), max_ids=3)
    assert error(outcome)["code"] == "too_many_ids"


def test_an_empty_body_is_not_read(ask: Ask) -> None:
    outcome, request = ask({**bearer(), "content-length": "0"}, chat(ID))
    assert outcome.kind == "passed"
    assert BODY not in request.calls


FORM = {"content-type": "multipart/form-data; boundary=x"}


def test_a_form_goes_on_as_it_came(ask: Ask) -> None:
    form = f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n{ID}\r\n--x--\r\n'.encode()
    outcome, request = ask({**bearer(), **FORM}, form)
    assert outcome.kind == "passed"
    assert request.body_set is None


def test_json_that_is_called_a_form_is_resolved_as_json(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    _, request = ask({**bearer(), **FORM}, chat(ID))
    assert request.body_set == chat(URL)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
def test_json_goes_by_several_names(ask: Ask, sidecar: FakeSidecar, content_type: str) -> None:
    sidecar.media[ID] = URL
    _, request = ask({**bearer(), "content-type": content_type}, chat(ID))
    assert request.body_set == chat(URL)


def test_a_body_over_the_limit_is_refused_unread_if_it_says_so(ask: Ask) -> None:
    headers = {**bearer(), **JSON_TYPE, "content-length": "5000"}
    outcome, request = ask(headers, chat(), max_body_bytes=4096)
    assert (error(outcome)["status"], error(outcome)["code"]) == (413, "max_size_exceeded")
    assert "kong.request.get_raw_body" not in request.calls


@pytest.mark.parametrize("length", ["0" * 19 + "5000", "0" * 40 + "5000", "9" * 40])
def test_zeros_before_a_length_do_not_hide_it(ask: Ask, length: str) -> None:
    outcome, _ = ask({**bearer(), **JSON_TYPE, "content-length": length}, max_body_bytes=4096)
    assert (error(outcome)["status"], error(outcome)["code"]) == (413, "max_size_exceeded")


def test_zeros_before_a_length_do_not_keep_ids_as_they_are(ask: Ask, sidecar: FakeSidecar) -> None:
    sidecar.media[ID] = URL
    length = "0" * 19 + str(len(chat(ID)))
    _, request = ask({**bearer(), **JSON_TYPE, "content-length": length}, chat(ID))
    assert request.body_set == chat(URL)


def test_and_once_read_if_it_does_not(ask: Ask) -> None:
    headers = {**bearer(), **JSON_TYPE, "transfer-encoding": "chunked"}
    outcome, _ = ask(headers, chat(padding=5000), max_body_bytes=4096)
    assert error(outcome)["status"] == 413


@pytest.mark.parametrize("size", [1 << 10, 60_000, 1 << 20, 10 << 20, 32 << 20])
def test_a_body_of_any_size_arrives_exact(ask: Ask, sidecar: FakeSidecar, size: int) -> None:
    sidecar.media[ID] = URL
    outcome, request = ask(
        {**bearer(), **JSON_TYPE}, chat(ID, padding=size), max_body_bytes=64 << 20
    )
    assert outcome.kind == "passed"
    assert request.body_set == chat(URL, padding=size)


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 1 << 20, 5 << 20])
def test_bytes_put_in_arrive_in_pieces_that_kong_takes_quickly(
    ask: Ask, sidecar: FakeSidecar, size: int
) -> None:
    sidecar.media[ID] = URL
    sidecar.contents[ID] = bytes(size)
    url = "data:image/png;base64," + base64.b64encode(bytes(size)).decode()
    outcome, request = ask({**bearer(), **JSON_TYPE}, chat(ID), resolve_as="data_url")
    assert outcome.kind == "passed"
    assert request.body_set == chat(url)
    pieces = -(-len(url) // PIECE_BYTES)
    assert request.calls == [GET, *[PIECE] * pieces, ADMIT]


def test_a_body_nested_beyond_reason_is_refused_if_it_may_hold_an_id(ask: Ask) -> None:
    body = b"[" * 50_000 + f'"{ID}"'.encode()
    outcome, _ = ask({**bearer(), **JSON_TYPE}, body)
    assert error(outcome)["code"] == "body_too_complex"


def test_a_wrong_configuration_refuses_every_request(ask: Ask, config: Config) -> None:
    config["issuers"][0]["algorithms"] = ["HS256"]
    for _ in range(2):
        outcome, request = ask(bearer())
        assert error(outcome)["status"] == 500
        assert request.shared == {}
