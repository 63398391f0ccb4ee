"""Checks of the local storage's signed URLs and forms."""

from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.errors import Refused
from jan_media.storage.local_urls import LocalUrls

NOW = 1_766_000_000.0
URLS = LocalUrls(
    "https://media.example/base/", b"a secret of 32 bytes, more or so", clock=lambda: NOW
)

Check = Callable[[str, dict[str, str], float], object]


def params_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


GET = params_of(URLS.presign_get("content/a", mime="image/png", filename="a.png", ttl=60))
PUT = params_of(URLS.presign_put("uploads/a", mime="image/png", ttl=60))
FORM = URLS.presign_post("uploads/a", max_bytes=9, ttl=60).fields


def check_get(path: str, params: dict[str, str], now: float) -> str:
    return URLS.check_url("GET", path, params, now)


def check_put(key: str, params: dict[str, str], now: float) -> str:
    return URLS.check_url("PUT", key, params, now)


def refusal(use: Callable[[], object]) -> tuple[str, str | None]:
    """The code and the part of the request that it is refused for."""
    with pytest.raises(Refused) as refused:
        use()
    return refused.value.code, refused.value.param


NOT_OURS = ("access_refused", None)
EXPIRED = ("access_expired", None)


def test_urls_are_below_files_of_the_public_url() -> None:
    get = URLS.presign_get("content/a", mime="image/png", filename="a.png", ttl=60)

    assert get.startswith("https://media.example/base/files/content/a/a.png?")
    form = URLS.presign_post("uploads/a", max_bytes=9, ttl=60)
    assert form.url == "https://media.example/base/files"


def test_what_was_signed_is_accepted_with_its_values() -> None:
    assert check_get("content/a/a.png", GET, NOW) == "image/png"
    assert check_put("uploads/a", PUT, NOW) == "image/png"
    assert URLS.check_post(FORM, NOW) == ("uploads/a", 9)


@pytest.mark.parametrize(
    "filename", ["", ".", "..", ".htaccess", "a/b", "a b", "a%2fb", "ü", "a" * 101]
)
def test_a_filename_that_a_path_cannot_carry_as_it_is_is_refused(filename: str) -> None:
    with pytest.raises(ValueError, match="file name"):
        URLS.presign_get("content/a", mime="image/png", filename=filename, ttl=60)


def test_each_is_good_up_to_its_last_second_and_no_longer() -> None:
    check_get("content/a/a.png", GET, NOW + 59.9)
    check_put("uploads/a", PUT, NOW + 59.9)
    URLS.check_post(FORM, NOW + 59.9)

    for check in (
        lambda: check_get("content/a/a.png", GET, NOW + 60),
        lambda: check_put("uploads/a", PUT, NOW + 60),
        lambda: URLS.check_post(FORM, NOW + 60),
    ):
        assert refusal(check) == EXPIRED


@pytest.mark.parametrize(
    ("check", "key", "params"),
    [(check_get, "content/a/a.png", GET), (check_put, "uploads/a", PUT)],
    ids=["get", "put"],
)
def test_no_part_of_a_url_can_be_changed_left_out_or_added(
    check: Check, key: str, params: dict[str, str]
) -> None:
    changed = [{**params, name: value + "0"} for name, value in params.items()]
    lacking = [{n: v for n, v in params.items() if n != name} for name in params]
    for other in (*changed, *lacking, {**params, "more": "1"}, {}):
        assert refusal(partial(check, key, other, NOW)) == NOT_OURS
    assert refusal(lambda: check(f"{key}b", params, NOW)) == NOT_OURS


def test_a_url_for_one_method_is_none_for_another() -> None:
    assert refusal(lambda: check_put("content/a/a.png", GET, NOW)) == NOT_OURS
    assert refusal(lambda: check_get("uploads/a", PUT, NOW)) == NOT_OURS


def test_another_secret_accepts_nothing() -> None:
    stranger = LocalUrls("https://media.example", b"another secret of enough bytes..")

    assert refusal(lambda: stranger.check_url("GET", "content/a/a.png", GET, NOW)) == NOT_OURS
    assert refusal(lambda: stranger.check_post(FORM, NOW)) == NOT_OURS


@given(
    st.text(),
    st.dictionaries(st.sampled_from(["expires", "mime", "signature"]), st.text()),
)
def test_whatever_else_arrives_is_refused_and_nothing_breaks(
    key: str, params: dict[str, str]
) -> None:
    for check in (check_get, check_put):
        with pytest.raises(Refused):
            check(key, params, NOW)


@given(st.dictionaries(st.sampled_from(sorted(FORM)), st.text(), min_size=1))
def test_whatever_else_a_form_says_is_refused_and_nothing_breaks(fields: dict[str, str]) -> None:
    with pytest.raises(Refused):
        URLS.check_post(FORM | fields | {"x-amz-date": "20200101T000000Z"}, NOW)


def test_names_of_fields_count_in_any_case() -> None:
    key, _ = URLS.check_post({name.upper(): value for name, value in FORM.items()}, NOW)

    assert key == "uploads/a"


def test_a_field_in_two_cases_is_refused() -> None:
    with pytest.raises(Refused, match="twice"):
        URLS.check_post({**FORM, "Key": "uploads/a"}, NOW)


@pytest.mark.parametrize("name", ["x-ignore-this", "submit", "Content-Type"])
def test_a_field_that_needs_no_condition_is_ignored(name: str) -> None:
    assert URLS.check_post({**FORM, name: "anything"}, NOW) == ("uploads/a", 9)


@pytest.mark.parametrize("name", sorted(FORM))
def test_a_missing_field_is_named(name: str) -> None:
    form = {other: value for other, value in FORM.items() if other != name}

    assert refusal(lambda: URLS.check_post(form, NOW)) == ("missing_field", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("key", "uploads/b"), ("acl", "public-read"), ("bucket", "b")],
)
def test_a_field_against_the_policy_is_named(name: str, value: str) -> None:
    form = {**FORM, name: value}

    assert refusal(lambda: URLS.check_post(form, NOW)) == ("access_refused", name)


def test_a_form_signed_yesterday_is_good_today() -> None:
    late = LocalUrls("http://x", b"a secret of 32 bytes, more or so", clock=lambda: 86_399.0)

    fields = late.presign_post("a", max_bytes=1, ttl=100).fields

    assert late.check_post(fields, 86_401.0) == ("a", 1)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        LocalUrls("http://x", b"short")
