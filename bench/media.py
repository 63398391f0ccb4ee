"""A real sidecar with real images in it, and a caller's token, for the gateway's benches."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.pictures import picture
from tests.support.sidecar import running_sidecar

GATEWAY_SECRET = "a-secret-of-the-bench-and-of-nobody-else"  # noqa: S105


@dataclass(frozen=True, slots=True)
class BenchSidecar:
    """Where it answers, and what it holds."""

    public_url: str
    internal_url: str
    gateway_secret: str
    token: str
    ids: list[str]


@contextmanager
def sidecar_with_media(count: int) -> Iterator[BenchSidecar]:
    """Run one on local storage and SQLite, with ``count`` images."""
    with (
        tempfile.TemporaryDirectory(prefix="jan-bench-") as folder,
        running_sidecar(Path(folder), GATEWAY_SECRET=GATEWAY_SECRET) as sidecar,
    ):
        headers = {"X-Jan-Gateway-Secret": GATEWAY_SECRET, "X-Jan-User-Id": "bench"}
        ids = upload_pictures(f"{sidecar.public_url}/v1/media", headers, count)
        token = log_in(f"{sidecar.public_url}/auth/guest-login")
        yield BenchSidecar(sidecar.public_url, sidecar.internal_url, GATEWAY_SECRET, token, ids)


def upload_pictures(url: str, headers: dict[str, str], count: int) -> list[str]:
    """Upload ``count`` different images and return their ids."""
    ids = []
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as http:
        for _ in range(count):
            file = {"file": ("bench.png", picture(), "image/png")}
            ids.append(str(http.post(url, files=file).raise_for_status().json()["id"]))
    return ids


def log_in(url: str) -> str:
    """Return a guest's token."""
    answer = httpx.post(url, timeout=30, trust_env=False).raise_for_status()
    return str(answer.json()["access_token"])
