"""The check of logs finds what no log may hold; it reads the logs of every stack when it stops."""

import pytest

from tests.e2e.conftest import leaks_in

SECRET = "the-gateways-secret"
FOLDERS = ["/srv/jan", "/tmp/jan-kong-x"]


@pytest.mark.parametrize(
    "line",
    [
        "got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
        "Authorization: Bearer sk_0123456789abcdefghijABCDEFGHIJ0123456789",
        "GET /files/images/x?expires=1795509749&mime=image%2Fpng&signature=6c6e48cddd1d3201",
        "GET /bucket/key?X-Amz-Signature=0011223344556677",
        'form {"x-amz-signature": "0011223344556677"}',
        "-----BEGIN PRIVATE KEY-----",
        "cannot open /srv/media/objects/1f/content,ab,cd",
        "cannot open /srv/media/keys/url-secret",
        '  File "/app/jan_media/server/serve.py", line 3',
        f"secret {SECRET}",
    ],
)
def test_a_line_with_a_secret_is_found(line: str) -> None:
    assert list(leaks_in("log", f"harmless\n{line}\n", [SECRET, None], FOLDERS))


@pytest.mark.parametrize("name", ["sidecar", "gateway", "Kong's error.log"])
def test_a_line_of_ours_with_a_folder_is_found(name: str) -> None:
    line = "[jan-media:7] [info] plugin server at /tmp/jan-kong-x/jan-media.sock"
    assert list(leaks_in(name, line, [], FOLDERS))


@pytest.mark.parametrize(
    "line",
    [
        "jan_media.access public GET /files/content/1f/1f02ab 200 1.2ms",
        "jan_media.access public POST /v1/media/resolve 200 3.4ms",
        "[jan-media:7] [info] plugin server started, process 7",
    ],
)
def test_a_usual_line_is_not(line: str) -> None:
    assert not list(leaks_in("log", line, [SECRET, None], FOLDERS))


def test_kong_may_name_the_socket_that_it_does_not_reach() -> None:
    line = "trying to connect to unix:/tmp/jan-kong-x/jan-media.sock: Connection refused"
    assert not list(leaks_in("gateway", line, [SECRET], FOLDERS))
