"""Where a remote fetch may go, and which URLs are URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jan_media.errors import Refused
from jan_media.fetch.addresses import parse_address
from jan_media.fetch.policy import FetchPolicy, Places
from jan_media.fetch.url import parse_url

from tests.fuzz.readers.url import (
    assert_allowed_only_if_public,
    assert_leads_where_it_says,
    taken,
)
from tests.unit.fetch.servers import refused_as


def policy_of(allow: str = "", deny: str = "") -> FetchPolicy:
    return FetchPolicy(Places(allow), Places(deny))


def allows(policy: FetchPolicy, host: str, port: int, address: str) -> bool:
    try:
        policy.check_host(host)
        policy.check_address(host, port, parse_address(address))
    except Refused as refused:
        if refused.code == "url_not_allowed":
            return False
        raise
    return True


# --- policy


def test_public_addresses_are_allowed_on_the_usual_ports_only() -> None:
    policy = policy_of()
    assert allows(policy, "example.com", 80, "8.8.8.8")
    assert allows(policy, "example.com", 443, "8.8.8.8")
    assert not allows(policy, "example.com", 22, "8.8.8.8")
    assert not allows(policy, "example.com", 8080, "8.8.8.8")


def test_private_addresses_are_refused_whatever_the_name() -> None:
    policy = policy_of()
    assert not allows(policy, "localhost", 80, "127.0.0.1")
    assert not allows(policy, "localhost.localdomain", 80, "::1")
    assert not allows(policy, "metadata.google.internal", 80, "169.254.169.254")


def test_an_allowed_network_lifts_address_and_port_for_itself_only() -> None:
    policy = policy_of(allow="10.1.0.0/16, ::1")
    assert allows(policy, "files.internal", 9000, "10.1.2.3")
    assert allows(policy, "files.internal", 9000, "::ffff:10.1.2.3")
    assert allows(policy, "localhost", 80, "::1")
    assert not allows(policy, "files.internal", 80, "10.2.0.1")
    assert not allows(policy, "example.com", 9000, "8.8.8.8")


def test_an_allowed_host_lifts_address_and_port_for_itself_only() -> None:
    policy = policy_of(allow="Files.Internal.,*.cdn.internal")
    assert allows(policy, "files.internal", 9000, "10.1.2.3")
    assert allows(policy, "a.b.cdn.internal", 9000, "10.1.2.3")
    assert not allows(policy, "cdn.internal", 80, "10.1.2.3")
    assert not allows(policy, "evilcdn.internal", 80, "10.1.2.3")
    assert not allows(policy, "other.files.internal", 80, "10.1.2.3")


def test_deny_is_stronger_than_allow_and_than_being_public() -> None:
    policy = policy_of(allow="10.0.0.0/8,files.internal", deny="10.9.0.0/16, bad.example")
    assert allows(policy, "x.internal", 80, "10.8.0.1")
    assert not allows(policy, "files.internal", 80, "10.9.0.1")
    assert not allows(policy, "files.internal", 80, "::ffff:10.9.0.1")
    assert not allows(policy, "bad.example", 443, "8.8.8.8")
    assert allows(policy, "good.example", 443, "8.8.8.8")


@pytest.mark.parametrize("deny", ["8.8.8.0/24", "::ffff:8.8.8.0/120", "::ffff:8.8.8.8"])
@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_what_is_denied_is_denied_in_every_form_of_its_address(deny: str, address: str) -> None:
    assert not allows(policy_of(deny=deny), "example.com", 443, address)
    assert allows(policy_of(deny="9.9.9.9"), "example.com", 443, address)


def test_allowing_an_address_does_not_allow_a_way_around_to_it() -> None:
    policy = policy_of(allow="10.1.0.0/16,::ffff:10.2.0.0/112")
    assert allows(policy, "files.internal", 80, "10.2.0.1")
    assert not allows(policy, "files.internal", 80, "64:ff9b::10.1.2.3")


def test_every_malformed_entry_is_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8, http://x, a b"):
        Places("10.0.0.1/8,example.com,http://x,a b")


# --- URLs


@pytest.mark.parametrize(
    ("text", "authority", "target"),
    [
        ("http://example.com", "example.com", b"/"),
        ("HTTPS://Example.COM:443/a?b=c#d", "example.com", b"/a?b=c"),
        ("http://example.com.:8080/x", "example.com:8080", b"/x"),
        ("http://8.8.8.8/", "8.8.8.8", b"/"),
        ("http://[2606:4700::1]:81/", "[2606:4700::1]:81", b"/"),
        ("https://bücher.example/ü", "xn--bcher-kva.example", b"/%C3%BC"),
        ("http://example.com?", "example.com", b"/?"),
        ("http://example.com:/a b?c d", "example.com", b"/a%20b?c%20d"),
        ("http://example.com/a%20b/%2e%zz?q=%41", "example.com", b"/a%20b/%2e%zz?q=%41"),
        ("http://example.com/a/./b/../../c//d/..", "example.com", b"/c//"),
        ("http://example.com/../..?x=/../y", "example.com", b"/?x=/../y"),
        ("http://example.com/a?b?c/d@e:f#g?h", "example.com", b"/a?b?c/d@e:f"),
    ],
)
def test_a_url_is_taken_apart(text: str, authority: str, target: bytes) -> None:
    url = parse_url(text)
    assert (url.authority, url.target) == (authority, target)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not-a-valid-url",
        "/relative",
        "//example.com/x",
        "http://",
        "http:///x",
        "http:example.com",
        "ftp://example.com/x",
        "http\u017f://example.com/",  # which is an s to a pattern that ignores case
        "http\u017f://example.com:80/",
        "file:///etc/passwd",
        "gopher://example.com",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://exa mple.com/",
        "http://example.com:99999/",
        "http://example.com:0/",
        "http://example.com:http/",
        "http://example.com:٨٠/",
        "http://example.com:80:80/",
        "http://example.com:-80/",
        "http://example.com/\ud800",
        "http://a..b/",
        "http://-a.example/",
        "http://ex%61mple.com/",
        "http://example.com%00.evil/",
        "http://example.com\n.evil/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
        "http://example.com/" + "a" * 9000,
        "http://[::1",
        "http://[::g]/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://[::1]x/",
        "http://x[::1]/",
        "http://[127.0.0.1]/",
        "http://::1/",
        "http://0x7f.0.0.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://2130706433/",
        "http://127.1/",
        "http://127.0.0.1.2/",
        "http://256.0.0.1/",
        "http://127.0.0.0x1/",
    ],
)
def test_what_is_no_plain_web_url_is_refused(text: str) -> None:
    with refused_as("invalid_url"):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://:secret@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:80@127.0.0.1/",
        "http://@example.com/",
    ],
)
def test_credentials_in_a_url_are_refused(text: str) -> None:
    with refused_as("url_not_allowed") as refused:
        parse_url(text)
    assert "secret" not in refused.value.message


@given(st.text(max_size=60))
def test_any_text_gives_a_url_or_one_of_the_two_errors(text: str) -> None:
    for candidate in (text, "http://" + text, "https://example.com/" + text):
        url = taken(candidate)
        if url is not None:
            assert_leads_where_it_says(url)
            assert_allowed_only_if_public(url)


@pytest.mark.parametrize(
    ("host", "looked_up"),
    [
        ("\U0001f496.example", "xn--1r8h.example"),
        ("\uff45\uff58\uff41\uff4d\uff50\uff4c\uff45.example", "example.example"),
        ("Stra\xdfe.example", "xn--strae-oqa.example"),
        ("b\xfccher\u3002example", "xn--bcher-kva.example"),
        ("\uff11\uff12\uff17.0.0.1", "127.0.0.1"),
    ],
)
def test_international_hosts_are_looked_up_as_browsers_do(host: str, looked_up: str) -> None:
    assert parse_url(f"http://{host}/").host == looked_up
