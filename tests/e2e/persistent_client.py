"""Clients that retry, as clients should, and remember what they were promised."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.e2e.conftest import client_for
from tests.support.pictures import picture
from tests.support.waiting import wait_until

AGAIN = (502, 503)
PAUSE = 0.1  # seconds; an interactive client would heed Retry-After
PATIENCE = 60.0  # seconds


@dataclass
class Uploads:
    """What some clients have uploaded, and what it took."""

    sha256: dict[str, str] = field(default_factory=dict)  # by id, of all that was acknowledged
    refused: list[httpx.Response] = field(default_factory=list)
    slowest: float = 0.0  # seconds
    unexpected: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def until_answered(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send until the answer is neither 502, 503 nor a broken connection."""
        give_up_at = time.monotonic() + PATIENCE
        while True:
            started = time.monotonic()
            try:
                answer = send()
            except httpx.TransportError:
                answer = None
            with self.lock:
                self.slowest = max(self.slowest, time.monotonic() - started)
                if answer is not None and answer.status_code in AGAIN:
                    self.refused.append(answer)
                elif answer is not None:
                    return answer
            if time.monotonic() > give_up_at:
                raise AssertionError(f"no answer in {PATIENCE} seconds")
            time.sleep(PAUSE)

    def one(self, client: httpx.Client) -> None:
        """Upload a new picture, however often it takes."""
        data = picture()
        answer = self.until_answered(
            lambda: client.post("/media/v1/media", files={"file": ("a.png", data)})
        )
        with self.lock:
            if answer.status_code != 200:
                self.unexpected.append(answer.text)
            else:
                self.sha256[answer.json()["id"]] = hashlib.sha256(data).hexdigest()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more have been acknowledged."""
        enough = len(self.sha256) + count
        wait_until(lambda: len(self.sha256) >= enough)

    def wait_for_refusals(self, count: int, *, seconds: float = 20.0) -> None:
        """Wait until so many more have been refused."""
        enough = len(self.refused) + count
        wait_until(lambda: len(self.refused) >= enough, seconds)

    def assert_all_there(self, client: httpx.Client) -> None:
        """Everything that was acknowledged is there, byte for byte."""
        assert self.unexpected == []
        for id, sha256 in self.sha256.items():
            answer = client.get(f"/media/v1/media/{id}/content")
            assert answer.status_code == 200, answer.text
            assert hashlib.sha256(answer.content).hexdigest() == sha256


@contextmanager
def uploading(token: str, *base_urls: str, each: int = 2) -> Iterator[Uploads]:
    """Inside the block, ``each`` clients a gateway upload one picture after another."""
    uploads, stopped = Uploads(), threading.Event()

    def client(base_url: str) -> None:
        with client_for(base_url, token) as http:
            while not stopped.is_set():
                try:
                    uploads.one(http)
                except AssertionError as problem:
                    uploads.unexpected.append(str(problem))
                    return

    threads = [
        threading.Thread(target=client, args=[url]) for url in base_urls for _ in range(each)
    ]
    for thread in threads:
        thread.start()
    try:
        yield uploads
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
