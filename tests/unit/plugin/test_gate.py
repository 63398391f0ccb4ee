"""jan-media-gate: what it gathers, what it lets through, and how it changes the response."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jan_media_plugin.rewrite.candidates import candidates

from tests.support.fuzzing import examples
from tests.unit.plugin.bodies import ID, bodies
from tests.unit.plugin.in_lua import GATE, Done, Gate

# --- gathering


def of(body: bytes, content_type: str = "application/json", **more: str) -> tuple[object, bool]:
    """Return what is gathered of a body (None: nothing), and whether it was read."""
    headers = {"content-type": content_type, "content-length": str(len(body)), **more}
    gate = Gate(headers, body).access()
    return gate.gathered.get("body"), gate.was_body_read


@given(st.one_of(bodies(), st.binary(max_size=50)))
@settings(max_examples=examples(100), deadline=None)
def test_a_body_is_left_behind_only_if_there_is_no_candidate_in_it(body: bytes) -> None:
    gathered, _ = of(body)
    if gathered is None:
        assert len(body) > 65536  # jan-media asks for it
    elif gathered == "":
        assert candidates(body) == []
    else:
        assert isinstance(gathered, str)
        assert gathered.encode("utf-8", "surrogateescape") == body


@pytest.mark.parametrize(
    "text",
    [
        *(ID, ID.upper(), ID.title(), "\\u006aan_0", "jan\\u005f0", "\\u004A\\u0041N_0", "jAn_"),
        "data:image/png;base64,AAAA",
        '","data":"AAAA',
    ],
)
def test_what_may_concern_jan_media_goes_along(text: str) -> None:
    body = f'{{"image_url":"{text}"}}'
    assert of(body.encode()) == (body, True)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_body_in_another_unicode_goes_along(coding: str) -> None:
    body = '{"a":1}'.encode(coding)
    assert of(body) == (body.decode("utf-8", "surrogateescape"), True)


def test_an_encoded_body_goes_along() -> None:
    assert of(b"\x1f\x8b", **{"content-encoding": "gzip"}) == ("\x1f\udc8b", True)


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_the_media_type_does_not_matter(content_type: str) -> None:
    assert of(b'"jan_0"', content_type) == ('"jan_0"', True)


def test_a_chat_that_concerns_nobody_is_left_behind() -> None:
    assert of(b'{"messages":[{"content":"January"}]}') == ("", True)


def test_a_body_that_is_to_stream_through_is_not_read() -> None:
    gate = Gate({"content-length": "4"}, b"jan_", request_buffering=False).access()
    assert "body" not in gate.gathered
    assert not gate.was_body_read


@pytest.mark.parametrize("length", ["65537", "x", "99999999999999999999"])
def test_a_long_body_and_one_of_unknown_length_are_left_to_be_asked_for(length: str) -> None:
    assert of(b"jan_", **{"content-length": length, "transfer-encoding": "x"}) == (None, False)


def test_a_request_without_a_body_needs_no_question() -> None:
    gate = Gate({}).access()
    assert gate.gathered["body"] == ""
    assert not gate.was_body_read


def test_over_http_2_a_body_need_not_say_its_length() -> None:
    assert "body" not in Gate({}, http_version=2.0).access().gathered


def test_headers_go_along_as_lua_has_them() -> None:
    headers = {"host": "a", "x-two": ["b", "c"], "x-empty": "", "x-bytes": "\udcff"}
    assert Gate(headers).access().gathered["headers"] == {**headers, "x-empty": True}


def test_the_plugin_says_where_kong_finds_the_gate() -> None:
    command = [sys.executable, "-m", "jan_media_plugin", "--lua-path"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    first = printed.strip().split(";")[0]
    assert printed.endswith(";;\n")  # Kong's own paths stay
    assert Path(first.replace("?", "kong/plugins/jan-media-gate/handler")) == GATE


# --- the way to the upstream


def test_the_way_is_closed_until_jan_media_admits_the_request() -> None:
    gate = Gate().access()
    assert not gate.open
    gate.admit(False, False)
    assert gate.open


def test_a_gate_that_guards_nothing_closes_nothing() -> None:
    gate = Gate().access(guards=False)
    assert gate.open
    assert gate.gathered is None


def test_headers_are_set_and_removed() -> None:
    headers = {"X-Jan-User-Id": "alice\udcff", "authorization": []}
    assert Gate().access().admit(headers, False) == Done(headers=headers)


def test_acl_and_kongs_other_plugins_learn_who_is_calling() -> None:
    identity = [{"id": "1", "username": "alice"}, {"id": "1", "consumer_id": "1"}]
    done = Gate().access().admit(False, ["jan-users", "staff"], False, *identity)
    assert done == Done(groups=["jan-users", "staff"], identity=identity)


def test_a_request_with_nothing_decided_is_left_alone_and_let_through() -> None:
    assert Gate({}, b'{"a":"b"}').access().admit(False, False) == Done()


# --- edits


@given(
    st.lists(
        st.tuples(st.binary(max_size=20), st.binary(max_size=40), st.binary(max_size=9)), min_size=1
    ),
    st.binary(max_size=20),
)
@settings(max_examples=examples(60), deadline=None)
def test_edits_replace_what_they_name_and_nothing_else(
    parts: list[tuple[bytes, bytes, bytes]], rest: bytes
) -> None:
    sent, wanted, edits = b"", b"", []
    for kept, old, new in parts:
        sent += kept
        edits.append([len(sent), len(sent) + len(old), new])
        sent += old
        wanted += kept + new
    assert Gate({}, sent + rest).access().admit(False, False, edits) == Done(body=wanted + rest)


def test_a_long_replacement_comes_in_pieces() -> None:
    gate = Gate({}, b"[1,2,3]").access()
    for piece in (b"one", b"-", b"two", b"three"):
        gate.piece(piece)
    edits = [[1, 2, 2], [3, 4, b"x"], [5, 6, 2]]
    assert gate.admit(False, False, edits) == Done(body=b"[one-,x,twothree]")


def test_another_whole_body_comes_in_pieces() -> None:
    gate = Gate({}, b"\x1f\x8b").access()
    gate.piece(b'{"a":')
    gate.piece(b"1}")
    assert gate.admit({"Content-Encoding": []}, False, 2) == Done(
        headers={"Content-Encoding": []}, body=b'{"a":1}'
    )


@pytest.mark.parametrize(
    "edits",
    [
        [[1, 2, False]],
        [[1, 99, "x"]],
        [[-1, 1, "x"]],
        [[4, 3, "x"]],
        [[1, 4, "x"], [3, 5, "x"]],
        [[1, 2, 1]],
        1,
    ],
)
def test_edits_that_do_not_fit_the_body_end_the_request_ungranted(edits: Any) -> None:
    granted = [{"X-Jan-User-Id": "alice"}, ["jan-users"], edits, {"id": "1"}, {"id": "1"}]
    assert Gate({}, b'{"a":"b"}').access().admit(*granted) == Done(status=500, open=False)


# --- answers

ACL = b'{"message":"Unauthorized","request_id":"1"}'


@pytest.mark.parametrize(("source", "status"), [("exit", 401), ("error", 500), ("error", 502)])
def test_an_undecided_request_is_a_503_that_says_when_to_try_again(
    source: str, status: int
) -> None:
    headers = {"WWW-Authenticate": "Key", "Content-Length": "43"}
    answer = Gate().access().answer(source, status, headers, [ACL[:9], ACL[9:]])
    assert answer.status == 503
    assert answer.error["type"] == "api_error"
    assert answer.error["code"] == "service_unavailable"
    assert answer.body is not None
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "retry-after": "1",
        "x-request-id": "0f0f",
    }


def test_what_nginx_finds_wrong_with_a_body_that_jan_media_asked_for_is_told() -> None:
    answer = Gate().access().answer("error", 413, {}, [b'{"message":"Payload too large"}'])
    assert (answer.status, answer.error["code"]) == (413, "max_size_exceeded")


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        (400, "invalid_request", "Malformed"),
        (413, "max_size_exceeded", "too large"),
        (500, "gateway_error", "Try again"),
        (501, "not_implemented", "chunked"),
        (502, "gateway_error", "Try again"),
        (503, "service_unavailable", "Try again"),
        (504, "gateway_error", "too long"),
    ],
)
def test_nginxs_own_errors_say_what_to_do_whatever_page_it_made(
    status: int, code: str, word: str
) -> None:
    answer = admitted().answer("error", status, {"Content-Length": "9"}, [b"<html>", b"</html>"])
    assert (answer.status, answer.error["code"]) == (status, code)
    assert word in answer.error["message"]
    assert answer.body is not None
    assert answer.headers["content-length"] == str(len(answer.body))


def test_even_an_upstreams_answer_to_an_undecided_request_is_kept_back() -> None:
    assert Gate().access().answer("service", 200, {}, [b"secret"]).error["type"] == "api_error"


def test_an_upstream_cannot_say_that_jan_media_has_decided() -> None:
    answer = Gate().access().answer("service", 200, {"X-Jan-Media-Decided": "yes"}, [b"secret"])
    assert answer.status == 503


def test_what_a_plugin_answers_before_jan_media_is_its_own() -> None:
    answer = Gate().answer("exit", 200, {"Access-Control-Allow-Origin": "*"})
    assert answer.status == 200
    assert answer.body is None


def test_jan_medias_own_errors_pass_as_they_are() -> None:
    headers = {"X-Jan-Media-Decided": "yes", "Content-Length": "9"}
    answer = Gate().access().answer("exit", 500, headers, [b"its error"])
    assert (answer.status, answer.body) == (500, None)
    assert answer.headers == {"content-length": "9", "x-request-id": "0f0f"}


def admitted(**more: Any) -> Gate:
    """A request that jan-media has let through."""
    gate = Gate(**more).access()
    gate.admit(False, False)
    return gate


@pytest.mark.parametrize(
    ("status", "said", "type_", "code"),
    [
        (401, "Unauthorized", "authentication_error", "unauthenticated"),
        (403, "You cannot consume this service", "permission_error", "access_refused"),
        (404, "no Route matched with those values", "not_found_error", "not_found"),
        (413, "Request size limit exceeded", "size_error", "max_size_exceeded"),
        (417, "Request size limit exceeded", "invalid_request_error", "invalid_request"),
        (429, "Too many logins: wait.", "rate_limit_error", "too_many_requests"),
        (500, "An unexpected error occurred", "api_error", "gateway_error"),
        (501, "The upstream server responded with 501", "api_error", "not_implemented"),
        (503, "failure to get a peer", "api_error", "service_unavailable"),
    ],
)
def test_kongs_own_errors_get_the_one_shape(status: int, said: str, type_: str, code: str) -> None:
    body = json.dumps({"message": said, "request_id": "1"}).encode()
    answer = admitted().answer("exit", status, {"Content-Length": "9"}, [body])
    assert answer.status == status
    assert (answer.error["type"], answer.error["code"]) == (type_, code)
    assert answer.error["param"] is None
    assert "content-length" not in answer.headers
    assert ("retry-after" in answer.headers) == (status == 503)
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b'{"message":5}', b"null"])
def test_an_error_without_words_gets_some(body: bytes) -> None:
    assert admitted().answer("exit", 400, {}, [body]).error["message"]


def test_what_has_the_shape_keeps_its_words_and_loses_what_is_beside_it() -> None:
    error = {"type": "not_found_error", "code": "route_not_found", "message": "No.", "param": "p"}
    body = json.dumps({"error": error, "request_id": "1"}).encode()
    assert admitted().answer("exit", 404, {}, [body]).error == error


@pytest.mark.parametrize("decided", ["yes", None])
def test_errors_have_a_type_beside_them_for_clients_of_anthropics_api(decided: str | None) -> None:
    gate = Gate(headers={"anthropic-version": "2023-06-01"}).access()
    own = {"X-Jan-Media-Decided": decided, "Content-Length": "9"} if decided else {}
    error = {"type": "size_error", "code": "max_size_exceeded", "message": "No.", "param": None}
    if not decided:
        gate.admit(False, False)
    answer = gate.answer("exit", 413, own, [json.dumps({"error": error}).encode()])
    assert json.loads(answer.body or b"") == {"type": "error", "error": error}
    assert "content-length" not in answer.headers


def test_a_wait_that_kong_names_is_kept() -> None:
    answer = admitted().answer("exit", 503, {"Retry-After": "9"}, [b"{}"])
    assert answer.headers["retry-after"] == "9"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_an_upstreams_answer_passes_as_it_is(status: int) -> None:
    answer = admitted().answer("service", status, {"Content-Length": "2"}, [b"{}"])
    assert (answer.status, answer.body) == (status, None)
    assert answer.headers["content-length"] == "2"


def test_every_answer_has_a_request_id_and_an_upstreams_own_stays() -> None:
    assert admitted().answer("service", 200).headers["x-request-id"] == "0f0f"
    own = admitted().answer("service", 200, {"X-Request-Id": "req_1"})
    assert own.headers["x-request-id"] == "req_1"


def test_a_client_of_anthropics_api_finds_the_request_id_where_it_looks() -> None:
    headers = {"anthropic-version": "2023-06-01"}
    assert admitted(headers=headers).answer("service", 200).headers["request-id"] == "0f0f"
    own = admitted(headers=headers).answer("service", 200, {"Request-Id": "req_1"})
    assert own.headers["request-id"] == "req_1"
    assert "request-id" not in admitted().answer("service", 200).headers


@pytest.mark.parametrize(
    ("path", "upstream", "given", "seen"),
    [
        ("/v1/models/", "/v1/models/", "http://model.internal:8287/v1/models", "/v1/models"),
        ("/llm/v1/models/", "/v1/models/", "http://model.internal:8287/v1/x?a=b", "/llm/v1/x?a=b"),
        ("/v1/a/", "/openai/v1/a/", "http://MODEL.internal:8287/openai/v1/a", "/v1/a"),
        ("/v1/a", "/v1/a", "//model.internal:8287/v1/b", "/v1/b"),
        ("/v1/a", "/v1/a", "http://user:word@model.internal:8287", "/"),
        ("/v1/a", "/v1/a", "http://model.internal:8287?x", "/?x"),
    ],
)
def test_a_location_at_the_upstream_becomes_one_at_the_gateway(
    path: str, upstream: str, given: str, seen: str
) -> None:
    gate = admitted(path=path, upstream_uri=upstream)
    assert gate.answer("service", 307, {"Location": given}).headers["location"] == seen


@pytest.mark.parametrize(
    "location",
    [
        "https://files.example.com/v1/x?signature=y",
        "http://model.internal:9000/bucket/x",
        "http://model.internal.example.com:8287/x",
        "/v1/models",
        "next",
        "",
    ],
)
def test_other_locations_stay(location: str) -> None:
    answer = admitted().answer("service", 302, {"Location": location})
    assert answer.headers["location"] == location
