"""Fetching from real servers that behave, misbehave and attack."""

import asyncio
import gzip
import os
import zlib
from pathlib import Path
from unittest import mock

import certifi
import pytest
from jan_media.errors import ContentTooLarge
from jan_media.fetch import checked_connection
from jan_media.fetch.policy import FetchPolicy, Places
from jan_media.fetch.remote import RemoteFetcher, Sink

from tests.unit.fetch.certificates import certificate_for
from tests.unit.fetch.servers import (
    Handler,
    Names,
    Server,
    answering,
    refused_as,
    response,
    serving,
)

HERE = ["127.0.0.1"]
FILES = {"files_test": [HERE]}  # files.test leads to loopback
PUBLIC = ["93.184.216.34"]


class FetcherWith(RemoteFetcher):
    """A fetcher that asks ``names``, and not the system."""

    names: Names

    async def fetch(self, url: str, sink: Sink) -> None:
        with mock.patch.object(checked_connection, "addresses_of", self.names):
            await super().fetch(url, sink)


def fetcher(
    names: Names | None = None,
    *,
    allow: str = "files.test",
    deny: str = "",
    timeout: float = 10,
    max_bytes: int = 1_000_000,
    authority: str = certifi.where(),
) -> RemoteFetcher:
    with mock.patch("certifi.where", return_value=authority):
        remote = FetcherWith(
            FetchPolicy(Places(allow), Places(deny)), timeout=timeout, max_bytes=max_bytes
        )
    remote.names = names or Names(**FILES)
    return remote


async def fetched(remote: RemoteFetcher, url: str) -> bytes:
    content = bytearray()

    async def sink(piece: bytes) -> None:
        assert len(piece) <= 128 * 1024
        content.extend(piece)

    await remote.fetch(url, sink)
    return bytes(content)


def fetch_from(handler: Handler, remote: RemoteFetcher, path: str = "/") -> tuple[bytes, Server]:
    """Fetch ``path`` of files.test, which ``handler`` answers for."""

    async def run() -> tuple[bytes, Server]:
        async with serving(handler) as server:
            return await fetched(remote, f"http://files.test:{server.port}{path}"), server

    return asyncio.run(run())


# --- what works


def test_content_arrives_unchanged() -> None:
    body = os.urandom(300_000)
    assert fetch_from(answering(response(body)), fetcher())[0] == body


def test_chunked_content_and_content_without_a_length_arrive_too() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert fetch_from(answering(chunked), fetcher())[0] == b"abcde"
    assert fetch_from(answering(b"HTTP/1.1 200 OK\r\n\r\nabc"), fetcher())[0] == b"abc"


def test_the_request_names_the_host_and_carries_nothing_else_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    _, server = fetch_from(answering(response(b"x")), fetcher(), "/a/b?c=d")
    request_line, *headers = server.requests[0].strip().split("\r\n")
    assert request_line == "GET /a/b?c=d HTTP/1.1"
    assert f"Host: files.test:{server.port}" in headers
    assert {line.split(":")[0] for line in headers} == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
    }


def test_redirects_are_followed_up_to_five_times() -> None:
    async def hops(path: str, writer: asyncio.StreamWriter) -> None:
        left = int(path[1:])
        if left:
            writer.write(response(b"", f"Location: /{left - 1}", status="302 Found"))
        else:
            writer.write(response(b"here"))

    assert fetch_from(hops, fetcher(), "/5")[0] == b"here"
    with refused_as("remote_fetch_failed", match="more than 5 times"):
        fetch_from(hops, fetcher(), "/6")


def test_raw_bytes_in_a_redirect_are_sent_on_as_browsers_do() -> None:
    async def away(path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/":
            place = "/gr\u00fc\u00dfe".encode() + b"/\xe4?\xfc"
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: %s\r\n\r\n" % place)
        else:
            writer.write(response(path.encode()))

    assert fetch_from(away, fetcher())[0] == b"/gr%C3%BC%C3%9Fe/%E4?%FC"


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def run() -> bytes:
        async with serving(answering(response(b"x"))) as server:
            names = Names(files_test=[["127.0.0.2", "127.0.0.1"]])
            return await fetched(fetcher(names), f"http://files.test:{server.port}/")

    assert asyncio.run(run()) == b"x"


def test_the_system_gives_addresses() -> None:
    assert "127.0.0.1" in asyncio.run(checked_connection.addresses_of("127.0.0.1"))


# --- where it must not go


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        ["fe80::1%lo"],
        ["64:ff9b::7f00:1"],
        [*PUBLIC, "127.0.0.1"],
        ["not-an-address"],
    ],
)
def test_a_name_that_leads_inside_is_refused_without_a_connection(addresses: list[str]) -> None:
    async def run() -> Server:
        async with serving(answering(response(b"secret"))) as server:
            names = Names(evil_test=[addresses])
            with refused_as("url_not_allowed") as refused:
                await fetched(fetcher(names), f"http://evil.test:{server.port}/")
            assert "127.0.0.1" not in refused.value.message
            return server

    assert asyncio.run(run()).connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"])
def test_an_address_inside_is_refused(host: str) -> None:
    with refused_as("url_not_allowed"):
        asyncio.run(fetched(fetcher(), f"http://{host}/"))


def test_localhost_is_refused_as_the_system_looks_it_up_too() -> None:
    remote = RemoteFetcher(FetchPolicy(Places(""), Places("")), timeout=10, max_bytes=10)
    with refused_as("url_not_allowed"):
        asyncio.run(fetched(remote, "http://localhost/"))


def test_an_unusual_port_is_refused() -> None:
    with refused_as("url_not_allowed", match="Port 8080"):
        asyncio.run(fetched(fetcher(Names(far_test=[PUBLIC])), "http://far.test:8080/"))


def test_a_denied_host_is_not_even_looked_up() -> None:
    names = Names(far_test=[PUBLIC])
    with refused_as("url_not_allowed"):
        asyncio.run(fetched(fetcher(names, deny="*.test"), "http://far.test/"))
    assert names.asked == []


def test_a_redirect_to_the_inside_is_refused_before_it_connects() -> None:
    async def run(location: str) -> None:
        async with serving(answering(response(b"secret"))) as inside:
            away = response(b"", f"Location: {location}".format(inside.port), status="307 Away")
            async with serving(answering(away)) as outside:
                names = Names(files_test=[HERE], evil_test=[HERE])
                with refused_as("url_not_allowed"):
                    await fetched(fetcher(names), f"http://files.test:{outside.port}/")
            assert inside.connections == 0

    for location in (
        "http://127.0.0.1:{}/",
        "http://evil.test:{}/",
        "//evil.test:{}/",
        "http://user:pw@files.test:{}/",
        "http://0x7f.1:{}/",
        "file:///etc/passwd",
        "gopher://evil.test:{}/",
    ):
        asyncio.run(run(location))


def test_a_name_is_looked_up_once_for_each_connection() -> None:
    async def run() -> Names:
        names = Names(rebind_test=[["127.0.0.1"], ["127.0.0.2"]])
        async with serving(answering(response(b"x"))) as server:
            remote = fetcher(names, allow="127.0.0.1")
            url = f"http://rebind.test:{server.port}/"
            assert await fetched(remote, url) == b"x"  # connected to the address of this lookup
            assert len(names.asked) == 1
            with refused_as("url_not_allowed"):  # and the next one is checked anew
                await fetched(remote, url)
        return names

    assert asyncio.run(run()).asked == ["rebind.test", "rebind.test"]


def test_a_name_that_turns_inside_between_redirects_is_refused() -> None:
    async def run() -> Server:
        names = Names(rebind_test=[["127.0.0.1"], ["127.0.0.2"]])
        again = answering(response(b"", "Location: /again", status="302 Found"))
        async with serving(again) as server:
            with refused_as("url_not_allowed"):
                await fetched(
                    fetcher(names, allow="127.0.0.1"), f"http://rebind.test:{server.port}/"
                )
            return server

    assert len(asyncio.run(run()).requests) == 1


# --- TLS


def test_tls_is_verified_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    serving_side, authority = certificate_for("files.test", tmp_path)

    async def run() -> None:
        names = Names(files_test=[HERE], other_test=[HERE])
        async with serving(answering(response(b"x")), tls=serving_side) as server:
            remote = fetcher(names, allow="*.test", authority=authority)
            assert await fetched(remote, f"https://files.test:{server.port}/") == b"x"
            with refused_as("remote_fetch_failed"):
                await fetched(remote, f"https://other.test:{server.port}/")
            with refused_as("remote_fetch_failed"):  # an unknown authority
                await fetched(fetcher(names, allow="*.test"), f"https://files.test:{server.port}/")

    asyncio.run(run())


# --- servers that are not by the book


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "203 Other", "299 -"])
def test_any_success_with_content_is_one(status: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\n"
    assert fetch_from(answering(head.encode() + b"abc"), fetcher())[0] == b"abc"


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Cache/Control: no",
            "PHP Warning: odd in x.php",
            '"quoted": x',
            ": nameless",
            "no colon",
        ),
        *("Server : odd", "X: \0", "\xff: x", "Set-Cookie: a=\xe4", "X: y\r\n  folded", "\tfolded"),
    ],
)
def test_a_header_line_that_is_none_is_skipped(line: str) -> None:
    head = f"HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 3\r\n\r\n".encode("latin-1")
    assert fetch_from(answering(head + b"abc"), fetcher())[0] == b"abc"


def test_a_folded_line_counts_though_it_holds_a_nul() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\0\r\n\r\n"
    assert fetch_from(answering(head + b"3\r\nabc\r\n0\r\n\r\n"), fetcher())[0] == b"abc"


def test_many_trailers_are_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailers = b"X-Trailer: of thirty bytes in all\r\n" * 800
    sent = head + b"3\r\nabc\r\n0\r\n" + trailers + b"\r\n"
    assert fetch_from(answering(sent), fetcher())[0] == b"abc"


def test_a_blank_before_the_colon_does_not_hide_what_frames_the_content() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n"
    assert fetch_from(answering(head + b"3\r\nabc\r\n0\r\n\r\n"), fetcher())[0] == b"abc"


def test_interim_heads_and_lines_that_end_in_a_bare_newline_are_read() -> None:
    head = b"HTTP/1.1 103 Hints\nno header\n\nHTTP/1.1 200 OK\nContent-Length: 3\n\nabc"
    assert fetch_from(answering(head), fetcher())[0] == b"abc"


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "utf-8", "gzip", "deflate", "none"])
def test_content_that_is_not_as_it_is_labelled_is_taken_as_it_is(coding: str) -> None:
    content = b"\x89PNG and more"
    answer = response(content, f"Content-Encoding: {coding}")
    assert fetch_from(answering(answer), fetcher())[0] == content


def test_a_head_that_comes_byte_by_byte_is_read() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"

    async def drop_by_drop(path: str, writer: asyncio.StreamWriter) -> None:
        for byte in head + b"abc":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    assert fetch_from(drop_by_drop, fetcher())[0] == b"abc"


def test_megabytes_of_lines_that_are_no_headers_are_not_taken() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"no header\r\n" * 300_000
    with refused_as("remote_fetch_failed"):
        fetch_from(answering(head), fetcher())


@pytest.mark.parametrize(
    "host", ["\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460"]
)
def test_a_host_in_odd_digits_is_the_address_that_it_means_and_refused_as_such(host: str) -> None:
    with refused_as("url_not_allowed"):
        asyncio.run(fetched(fetcher(names=Names()), f"http://{host}/"))


# --- servers that fail


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Oops", "202 -", "204 Nothing", "205 -", "206 -", "304 -"]
)
def test_an_answer_without_the_content_is_a_failure(status: str) -> None:
    with refused_as("remote_fetch_failed", match=status[:3]):
        fetch_from(answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()), fetcher())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        response(gzip.compress(b"x" * 1000, mtime=0)[:-9], "Content-Encoding: gzip"),
        response(b"", "Content-Encoding: gzip"),
        response(b"x", "Content-Encoding: deflate"),
    ],
)
def test_a_broken_answer_is_a_failure(answer: bytes) -> None:
    with refused_as("remote_fetch_failed"):
        fetch_from(answering(answer), fetcher())


def test_a_server_that_is_away_is_a_failure() -> None:
    async def run() -> None:
        async with serving(answering()) as server:
            port = server.port
        with refused_as("remote_fetch_failed"):
            await fetched(fetcher(), f"http://files.test:{port}/")

    asyncio.run(run())


def test_a_name_that_does_not_exist_is_a_failure() -> None:
    with refused_as("remote_fetch_failed", match=r"nowhere\.test could not be found"):
        asyncio.run(fetched(fetcher(), "http://nowhere.test/"))
    with refused_as("remote_fetch_failed"):
        asyncio.run(fetched(fetcher(Names(empty_test=[[]])), "http://empty.test/"))


# --- time


async def drip(path: str, writer: asyncio.StreamWriter) -> None:
    """A body that never ends, a byte at a time, fast enough for any limit on one read."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(path: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def endless_redirects(path: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.2)
    writer.write(response(b"", "Location: /", status="302 Found"))


@pytest.mark.parametrize("handler", [drip, silence, endless_redirects])
def test_the_whole_fetch_has_a_time_limit(handler: Handler) -> None:
    with refused_as("remote_fetch_timeout"):  # none of them would ever end by itself
        fetch_from(handler, fetcher(timeout=0.3))


def test_a_name_server_that_does_not_answer_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(checked_connection, "addresses_of", stuck)
    remote = RemoteFetcher(FetchPolicy(Places(""), Places("")), timeout=0.2, max_bytes=10)
    with refused_as("remote_fetch_timeout"):
        asyncio.run(fetched(remote, "http://slow.test/"))


# --- size


def test_a_stated_length_over_the_limit_is_refused_before_any_content() -> None:
    remote = fetcher(max_bytes=10)
    with pytest.raises(ContentTooLarge, match="10 bytes"):
        fetch_from(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"), remote)


def test_content_over_the_limit_is_refused_when_no_length_was_stated() -> None:
    remote = fetcher(max_bytes=100_000)
    endless = answering(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 60_000] * 100)
    with pytest.raises(ContentTooLarge):
        fetch_from(endless, remote)
    assert len(fetch_from(answering(response(b"x" * 100_000)), remote)[0]) == 100_000


def test_compressed_content_is_decoded_even_though_it_was_not_asked_for() -> None:
    body = os.urandom(1000) * 200
    raw = zlib.compressobj(wbits=-15)
    for encoding, sent in (
        ("gzip", gzip.compress(body)),
        ("X-GZip", gzip.compress(body[:5]) + gzip.compress(body[5:])),
        ("deflate", zlib.compress(body)),
        ("deflate", raw.compress(body) + raw.flush()),
        ("identity", body),
    ):
        answer = response(sent, f"Content-Encoding: {encoding}")
        assert fetch_from(answering(answer), fetcher())[0] == body


def test_a_compressed_bomb_stops_at_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=6)
    assert len(bomb) < 250_000
    given: list[int] = []

    async def run() -> None:
        async def sink(piece: bytes) -> None:
            given.append(len(piece))

        async with serving(answering(response(bomb, "Content-Encoding: gzip"))) as server:
            await fetcher().fetch(f"http://files.test:{server.port}/", sink)

    with pytest.raises(ContentTooLarge):
        asyncio.run(run())
    assert sum(given) <= 1_000_000
    assert max(given) <= 128 * 1024


def test_compressed_content_that_stands_for_nothing_is_refused() -> None:
    empty_block = b"\0\0\0\xff\xff"  # stored, of length 0
    endless = b"\x78\x01" + empty_block * 100_000
    with pytest.raises(ContentTooLarge):
        fetch_from(
            answering(response(endless, "Content-Encoding: deflate")), fetcher(max_bytes=100_000)
        )
    members = gzip.compress(b"") * 2000
    with refused_as("remote_fetch_failed", match="too many parts"):
        fetch_from(answering(response(members, "Content-Encoding: gzip")), fetcher())


def without_end(start: bytes, again: bytes) -> Handler:
    async def flood(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(again * 1000)
            await writer.drain()

    return flood


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="interim answers"),
        pytest.param(without_end(CHUNKED, b"1\r\nx\r\n"), id="chunks of a byte"),
        pytest.param(without_end(CHUNKED, b"1;" + b"a" * 90 + b"\r\nx\r\n"), id="extensions"),
        pytest.param(without_end(b"HTTP/1.1 200 OK\r\n", b"A:\r\n"), id="headers"),
    ],
)
def test_a_server_that_sends_little_content_and_much_else_is_left(handler: Handler) -> None:
    with refused_as("remote_fetch_failed", match="not content"):
        fetch_from(handler, fetcher(timeout=60))


def test_chunks_of_a_few_dozen_bytes_are_fine() -> None:
    chunks = (b"20\r\n" + b"x" * 32 + b"\r\n") * 10_000
    assert fetch_from(answering(CHUNKED, chunks, b"0\r\n\r\n"), fetcher())[0] == b"x" * 320_000


def test_a_dripping_body_reaches_the_sink_in_large_pieces() -> None:
    given: list[int] = []

    async def run() -> None:
        async def sink(piece: bytes) -> None:
            given.append(len(piece))

        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        drops = b"1\r\nx\r\n" * 10_000
        async with serving(answering(head + drops + b"0\r\n\r\n")) as server:
            await fetcher().fetch(f"http://files.test:{server.port}/", sink)

    asyncio.run(run())
    assert given == [10_000]


def test_an_error_of_the_sink_ends_the_fetch_and_comes_through() -> None:
    async def run() -> None:
        async def full(piece: bytes) -> None:
            raise TimeoutError("the disk")

        async with serving(answering(response(b"x" * 1000))) as server:
            await fetcher().fetch(f"http://files.test:{server.port}/", full)

    with pytest.raises(TimeoutError, match="the disk"):
        asyncio.run(run())
