"""Clients of running sidecars that know what they have been promised, and check it.

Each client is a separate owner and does one thing after another, so it knows what must be true:
every file that it has uploaded, and has not begun to delete, exists with its bytes. An operation
that was in progress when a sidecar died may have happened or not.
"""

import base64
import hashlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx

from tests.support.pictures import picture

CONTENTS = [picture() for _ in range(10)]
NAME = {hashlib.sha256(data).hexdigest(): number for number, data in enumerate(CONTENTS)}
ISSUER = "https://issuer.test"
AWAY = (httpx.TransportError,)  # the sidecar is dead or dies under our request


class Unknown(Exception):
    """The answer got lost: it may have been done or not."""


@dataclass
class Client:
    """One owner."""

    name: str
    addresses: Callable[[], Sequence[str]]  # public URLs of the sidecars that run now
    chance: random.Random
    held: dict[str, int] = field(default_factory=dict)  # ids that must answer: their content
    sent: dict[str, int] = field(default_factory=dict)  # uploads to promised ids that arrived
    answers: list[tuple[int, str, bool]] = field(default_factory=list)  # content, id, deduped
    promised: set[str] = field(default_factory=set)
    busy: int = 0  # 503s met on the way
    done: int = 0  # acknowledged operations

    def __post_init__(self) -> None:
        self.http = httpx.Client(
            timeout=30, headers={"X-Jan-User-Id": self.name, "X-Jan-Issuer": ISSUER}
        )

    @property
    def owner(self) -> str:
        """What the catalog calls us."""
        return f"{ISSUER}|{self.name}"

    def act(self) -> None:
        """Do one thing and check its answer. Raises `Unknown`."""
        self.chance.choices(
            [self.upload, self.upload_directly, self.look, self.use, self.give_up],
            [8, 3, 5, 3, 4],
        )[0]()
        self.done += 1

    # --- operations

    def upload(self, number: int | None = None) -> None:
        number = self.chance.randrange(len(CONTENTS)) if number is None else number
        encoded = base64.b64encode(CONTENTS[number]).decode()
        body = {"source": {"type": "data_url", "data_url": f"data:image/png;base64,{encoded}"}}
        answer = self._call("POST", "/v1/media", json=body)
        assert answer.status_code == 200, answer.text
        id, deduped = answer.json()["id"], answer.json()["deduped"]
        self.answers.append((number, id, deduped))
        self.held[id] = number

    def upload_directly(self) -> None:
        """Prepare and send; the first use comes later, or is made by the sweep."""
        number = self.chance.randrange(len(CONTENTS))
        answer = self._call("POST", "/v1/media/prepare-upload", json={"content_type": "image/png"})
        assert answer.status_code == 200, answer.text
        prepared = answer.json()
        self.promised.add(prepared["id"])
        post = prepared["presigned_post"]
        try:
            sent = httpx.post(
                post["url"],
                data=post["fields"],
                files={"file": ("photo.png", CONTENTS[number], "image/png")},
                timeout=30,
            )
        except AWAY:
            raise Unknown from None
        if sent.status_code == 204:
            self.sent[prepared["id"]] = number
        else:
            assert sent.status_code in (403, 503), sent.text

    def use(self) -> None:
        """Use an upload for the first time."""
        if self.sent:
            id = self.chance.choice(sorted(self.sent))
            self._check(id, self.sent[id])
            self.held[id] = self.sent.pop(id)

    def look(self) -> None:
        """Something that we hold is there."""
        if self.held:
            id = self.chance.choice(sorted(self.held))
            self._check(id, self.held[id])

    def look_at_all(self) -> None:
        """Everything that we hold, or have sent, is there."""
        for id, number in sorted((self.held | self.sent).items()):
            self._check(id, number)
        self.held |= self.sent
        self.sent.clear()

    def give_up(self) -> None:
        if self.held:
            id = self.chance.choice(sorted(self.held))
            del self.held[id]  # from now on it may be gone
            answer = self._call("DELETE", f"/v1/media/{id}")
            assert answer.status_code in (204, 404), answer.text

    def glance(self, id: str) -> int | None:
        """The content of an id of anyone, or None if it is gone. 200 means: with its bytes."""
        answer = self._call("GET", f"/v1/media/{id}/content")
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, answer.text
        return NAME[hashlib.sha256(answer.content).hexdigest()]

    def own(self) -> set[str]:
        """Every ready id that we own, also those whose answers got lost."""
        found: set[str] = set()
        after = ""
        while True:
            answer = self._call("GET", f"/v1/media?limit=200&after={after}").json()
            found |= {media["id"] for media in answer["media"]}
            after = answer["next"]
            if after is None:
                return found

    def _check(self, id: str, number: int) -> None:
        answer = self._call("GET", f"/v1/media/{id}/content")
        assert answer.status_code == 200, f"{id} of {self.name} is lost: {answer.text}"
        assert NAME[hashlib.sha256(answer.content).hexdigest()] == number

    def _call(self, method: str, path: str, **how: object) -> httpx.Response:
        """Ask any sidecar; again while it says that it is too busy."""
        give_up_at = time.monotonic() + 40
        while True:
            try:
                answer = self.http.request(
                    method,
                    self.chance.choice(self.addresses()) + path,
                    **how,  # type: ignore[arg-type]
                )
            except AWAY:
                raise Unknown from None
            if answer.status_code != 503 or time.monotonic() > give_up_at:
                return answer
            self.busy += 1
            time.sleep(0.05 * self.chance.random())


def run_all(clients: Sequence[Client], work: Callable[[Client], None]) -> None:
    """Let every client work at the same time; raises what one of them raised."""
    failures: list[BaseException] = []

    def run(client: Client) -> None:
        try:
            work(client)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
