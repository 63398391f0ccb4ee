"""A running gateway for the e2e tests, which only speak HTTP to it.

JAN_GATEWAY_URL   tests the gateway at this URL. Its sidecar must allow fetches from 127.0.0.1
                  (MEDIA_FETCH_ALLOW=127.0.0.1/32), and the demo LLM must be behind /v1.
KONG_BIN          starts all parts with this Kong; else with `kong` from PATH; else with devkong.
"""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import httpx
import pytest

from demo.addresses import free_ports
from demo.image_host import ImageHost
from demo.kong_settings import ROOT
from demo.stack import Stack, chosen_kong

FETCH_FROM_THIS_MACHINE = {"MEDIA_FETCH_ALLOW": "127.0.0.1/32"}


KONGS_LOG = "Kong's error.log"
GATEWAYS = ("gateway", KONGS_LOG)

# What no log may hold, whoever wrote it.
SECRETS = {
    "a token": re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}"),
    "an API key": re.compile(r"sk_[0-9A-Za-z]{30,}"),
    "a signature": re.compile(r"(?i)[?&\"'](?:x-amz-)?signature=?[\"':= ]+[0-9a-f]{16,}"),
    "a signed URL's query": re.compile(r"[?&]expires=\d+"),
    "a private key": re.compile(r"-----BEGIN|PRIVATE KEY"),
    "a file's path": re.compile(r"/media/(?:objects|spool|keys)/"),
    "a stack": re.compile(r'Traceback|File "/'),
}


class WatchedStack(Stack):
    """A stack whose logs are read when it stops: nothing secret may be in them."""

    leaks: ClassVar[list[str]] = []

    def stop(self) -> None:
        secrets = [part.environment.get("JAN_GATEWAY_SECRET") for part in self.parts]
        folders = [str(ROOT), str(self.folder), *map(str, filter(None, [self._short_prefix]))]
        before = [log.read_text("utf-8", "replace") for log in self._extra_logs() if log.exists()]
        super().stop()
        for part in self.parts:
            text = part.log.read_text("utf-8", "replace") if part.log.exists() else ""
            self.leaks.extend(leaks_in(part.name, text, secrets, folders))
        for text in before:
            self.leaks.extend(leaks_in(KONGS_LOG, text, secrets, folders))

    def _extra_logs(self) -> list[Path]:
        return [log for part in self.parts for log in part.extra_logs]


AStack = TypeVar("AStack", bound=WatchedStack)


def leaks_in(
    name: str, text: str, secrets: Collection[str | None], folders: Collection[str]
) -> Iterator[str]:
    """Say what a log holds that it must not.

    Kong itself names its files, the plugin server's socket for one, and devkong does as Kong. So
    of a gateway's lines only the plugin server's are asked for ``folders``.
    """
    for line in text.splitlines():
        ours = name not in GATEWAYS or "[jan-media:" in line
        if ours and any(folder in line for folder in folders):
            yield f"{name}: a file's path in {line[:300]!r}"
        for what, pattern in SECRETS.items():
            if pattern.search(line):
                yield f"{name}: {what} in {line[:300]!r}"
        if any(secret and secret in line for secret in secrets):
            yield f"{name}: the gateway's secret in {line[:300]!r}"


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> Iterator[None]:
    """Fails the run at its end if any log of any stack held a secret."""
    yield
    assert WatchedStack.leaks == []


def start_stack(folder: Path, **media_settings: str) -> Stack:
    """A stack on free ports, with the gateway that the environment chooses; not yet started."""
    return stack_of(WatchedStack, folder, **media_settings)


def stack_of(kind: type[AStack], folder: Path, **media_settings: str) -> AStack:
    """The same, of another kind."""
    return kind(
        folder,
        free_ports(),
        kong_bin=chosen_kong(os.environ) or shutil.which("kong"),
        media_settings={**FETCH_FROM_THIS_MACHINE, **media_settings},
    )


@pytest.fixture(scope="session")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of the gateway under test."""
    given = os.environ.get("JAN_GATEWAY_URL")
    if given:
        yield given.rstrip("/")
        return
    with start_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack.base_url


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that a test may damage."""
    with start_stack(tmp_path_factory.mktemp("own-stack")) as stack:
        yield stack


@pytest.fixture(scope="session")
def images() -> Iterator[str]:
    """The base URL of a web server with an image at every path that ends in an image's name."""
    with ImageHost() as host:
        yield host.base_url


def guest_token(base_url: str) -> str:
    """Logs a new guest in."""
    answer = httpx.post(f"{base_url}/llm/auth/guest-login", trust_env=False)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["access_token"])


def client_for(base_url: str, token: str | None = None) -> httpx.Client:
    """A client of the gateway, with a token or without."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=base_url, headers=headers, timeout=30, trust_env=False)


@pytest.fixture(scope="session")
def token(gateway_url: str) -> str:
    """A guest's token."""
    return guest_token(gateway_url)


@pytest.fixture
def guest(gateway_url: str, token: str) -> Iterator[httpx.Client]:
    """A client with a guest's token."""
    with client_for(gateway_url, token) as client:
        yield client


@pytest.fixture
def another_guest(gateway_url: str) -> Iterator[httpx.Client]:
    """A client with another guest's token."""
    with client_for(gateway_url, guest_token(gateway_url)) as client:
        yield client


@pytest.fixture
def stranger(gateway_url: str) -> Iterator[httpx.Client]:
    """A client without a token."""
    with client_for(gateway_url) as client:
        yield client


@pytest.fixture
def upload(guest: httpx.Client, images: str) -> Callable[[str], str]:
    """Uploads the image of this name from the web server; returns its id."""

    def from_remote_url(name: str) -> str:
        source = {"type": "remote_url", "url": f"{images}/{name}"}
        answer = guest.post("/media/v1/media", json={"source": source, "user_id": "tester"})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    return from_remote_url


@pytest.fixture
def received(guest: httpx.Client) -> Callable[[], list[Any]]:
    """What the model received lately, oldest first: path, headers, body."""

    def ask() -> list[Any]:
        answer = guest.get("/v1/received")
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    return ask
