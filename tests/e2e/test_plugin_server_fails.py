"""If the plugin's handler fails in any way, the request is refused and the next one works.

The tests run the whole stack with the unchanged kong.yml. Each case injects a fault into the
plugin's own process; the product has no hook for it.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from demo.images import drawn
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, stack_of
from tests.e2e.counting_upstream import CountingUpstream
from tests.e2e.faulty_stack import KONG_WAITS, FaultyStack
from tests.support.waiting import wait_until

SPOOFED = {"X-Jan-User-Id": "root", "X-Jan-Issuer": "", "X-Authenticated-Groups": "jan-users"}
CHAT = "/v1/chat/completions"
NUMBERS = count()
SHAPE = {"type", "code", "message", "param"}


@pytest.fixture(scope="module")
def model() -> Iterator[CountingUpstream]:
    """Counts what reaches it."""
    with CountingUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, model: CountingUpstream
) -> Iterator[FaultyStack]:
    """kong.yml's routes; the sidecar is waited for one second."""
    document = kong_yml.written()
    for route in kong_yml.protected_routes(document):
        kong_yml.plugin(route, "jan-media")["timeout_ms"] = 1000
    faulty = stack_of(FaultyStack, tmp_path_factory.mktemp("faulty"))
    faulty.kong_yml = faulty.folder / "impatient.yml"
    faulty.kong_yml.write_text(kong_yml.text(document), "utf-8")
    faulty.llm_upstream = model.base_url
    with faulty:
        yield faulty


@pytest.fixture(scope="module")
def guest(stack: FaultyStack) -> Iterator[httpx.Client]:
    """A client with a token that is good."""
    with client_for(stack.base_url, guest_token(stack.base_url)) as client:
        yield client


@pytest.fixture(scope="module")
def stranger(stack: FaultyStack) -> Iterator[httpx.Client]:
    """A client without one, which says by headers that it is somebody."""
    with client_for(stack.base_url) as client:
        client.headers.update(SPOOFED)
        yield client


@pytest.fixture(scope="module")
def media_id(guest: httpx.Client, model: CountingUpstream) -> str:
    """An id that chat bodies may hold, and whose URL the plugin knows already."""
    answer = guest.post("/media/v1/media", files={"file": drawn("fault.png")})
    assert answer.status_code == 200, answer.text
    uploaded = str(answer.json()["id"])
    await_working(guest, model, uploaded)
    return uploaded


class Attempt:
    """A request that nobody else makes, and whether the model got it."""

    def __init__(self, model: CountingUpstream, media_id: str = "") -> None:
        self._model = model
        self.marker = f"attempt-{next(NUMBERS)}-"
        part = {"type": "image_url", "image_url": {"url": media_id}}
        content = [part] if media_id else "Hello"
        message = {"role": "user", "content": content}
        self.body = {"model": "m", "user": self.marker, "messages": [message]}

    def by(self, client: httpx.Client, path: str) -> httpx.Response:
        """Makes it."""
        return client.post(path, json=self.body)

    @property
    def arrived(self) -> int:
        """How often it reached the model."""
        return self._model.count(self.marker)


def assert_works_again(guest: httpx.Client, model: CountingUpstream, media_id: str) -> None:
    """The next request of each kind goes through, with its id resolved, to the model, once."""
    ordinary = Attempt(model, media_id)
    answer = ordinary.by(guest, CHAT)
    assert answer.status_code == 200, answer.text
    assert ordinary.arrived == 1
    assert '"http://' in model.received[-1].body
    assert guest.get("/media/v1/media").status_code == 200


def await_working(guest: httpx.Client, model: CountingUpstream, media_id: str) -> None:
    """The same, once the gateway has got over the loss of its plugin server."""
    wait_until(lambda: Attempt(model, media_id).by(guest, CHAT).status_code == 200)
    wait_until(lambda: guest.get("/media/v1/media").status_code == 200)
    assert_works_again(guest, model, media_id)


def asked_of_the_sidecar(stack: FaultyStack, marker: str) -> int:
    """How many requests with this in their path reached the sidecar, as far as its log is."""
    sidecar = next(part for part in stack.parts if part.name == "sidecar")
    return sidecar.log.read_text("utf-8").count(marker)


def assert_undecided(answer: httpx.Response) -> None:
    """The answer to a request that jan-media has not decided on."""
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert_error_shape(answer)


def assert_error_shape(answer: httpx.Response) -> None:
    """Refusals look the same, whoever makes them."""
    assert set(answer.json()["error"]) == SHAPE


def test_bytes_that_are_not_utf8_switch_nothing_off(
    guest: httpx.Client,
    stranger: httpx.Client,
    model: CountingUpstream,
    media_id: str,
) -> None:
    odd = {b"X-Odd": b"\xff\xfe", b"X-Jan-User-Id": b"\xff"}
    intruding, ordinary = Attempt(model, media_id), Attempt(model, media_id)
    for client, attempt, status in ((stranger, intruding, 401), (guest, ordinary, 200)):
        answer = client.post(f"{CHAT}?q=%ff", json=attempt.body, headers=odd)
        assert answer.status_code == status
    assert not intruding.arrived
    assert ordinary.arrived == 1
    arrived = model.received[-1]
    assert f'"{media_id}"' not in arrived.body
    assert arrived.header("X-Odd") == ["\xff\xfe"]
    assert arrived.header("X-Jan-User-Id") != ["\xff"]
    assert arrived.header("X-Authenticated-Groups") == []
    assert_works_again(guest, model, media_id)


KINDS = [
    *("ValueError", "OSError", "MemoryError", "StopIteration", "CancelledError", "recurse"),
    *("BaseException", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "GreenletExit"),
]


@pytest.mark.parametrize("what", KINDS)
def test_a_handler_that_raises_at_once_is_a_500(
    stack: FaultyStack,
    guest: httpx.Client,
    stranger: httpx.Client,
    model: CountingUpstream,
    media_id: str,
    what: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault(what, "first"):
        answers = [attempt.by(client, CHAT) for client in (guest, stranger, guest)]
    assert [answer.status_code for answer in answers] == [500, 500, 500]
    assert {answer.json()["error"]["code"] for answer in answers} == {"internal_error"}
    assert not attempt.arrived
    assert_works_again(guest, model, media_id)


PLACES = [
    "after kong.ctx.shared.get",
    "after edit",
    "before kong.ctx.shared.jan_media_admit",
]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("what", ["ValueError", "SystemExit", "recurse"])
def test_a_handler_that_raises_half_way_is_a_500(
    stack: FaultyStack,
    guest: httpx.Client,
    model: CountingUpstream,
    media_id: str,
    what: str,
    where: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault(what, where):
        answers = [attempt.by(guest, CHAT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [500, 500]
    assert {answer.json()["error"]["code"] for answer in answers} == {"internal_error"}
    assert not attempt.arrived
    assert_works_again(guest, model, media_id)


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("ValueError", "first"),
        ("ValueError", "after kong.ctx.shared.get"),
        ("SystemExit", "before kong.ctx.shared.jan_media_admit"),
    ],
)
def test_a_handler_that_raises_keeps_requests_from_the_sidecar(
    stack: FaultyStack,
    guest: httpx.Client,
    model: CountingUpstream,
    media_id: str,
    what: str,
    where: str,
) -> None:
    marker = f"jan_{next(NUMBERS):032x}"
    with stack.fault(what, where):
        answer = guest.get(f"/media/v1/media/{marker}")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert guest.get(f"/media/v1/media/{marker}").status_code == 404
    wait_until(lambda: asked_of_the_sidecar(stack, marker) > 0)
    assert asked_of_the_sidecar(stack, marker) == 1  # the second alone


@pytest.mark.parametrize("where", PLACES)
def test_a_handler_that_returns_without_its_grant_is_a_503(
    stack: FaultyStack,
    guest: httpx.Client,
    model: CountingUpstream,
    media_id: str,
    where: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault("return", where):
        answer = attempt.by(guest, CHAT)
    assert_undecided(answer)
    assert not attempt.arrived
    assert_works_again(guest, model, media_id)


@pytest.mark.parametrize("where", PLACES)
def test_a_plugin_server_that_dies_half_way_lets_nothing_through(
    stack: FaultyStack,
    guest: httpx.Client,
    model: CountingUpstream,
    media_id: str,
    where: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault("die", where):
        for _ in range(2):
            assert_undecided(attempt.by(guest, CHAT))
    assert not attempt.arrived
    assert not model.count(f'"{media_id}"')
    await_working(guest, model, media_id)


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("wait", "first"),
        ("wait", "after edit"),
        ("sleep", "after edit"),
        ("spin", "after kong.ctx.shared.get"),
    ],
)
def test_a_handler_that_takes_too_long_is_a_503(
    stack: FaultyStack,
    guest: httpx.Client,
    model: CountingUpstream,
    media_id: str,
    what: str,
    where: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault(what, where):
        answer = attempt.by(guest, CHAT)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "service_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert not attempt.arrived
    assert_works_again(guest, model, media_id)


def test_a_handler_that_outlasts_kongs_patience_grants_nothing_late(
    stack: FaultyStack, guest: httpx.Client, model: CountingUpstream, media_id: str
) -> None:
    attempt = Attempt(model, media_id)
    begun = time.monotonic()
    with stack.fault("block for good", "first"):
        answer = attempt.by(guest, CHAT)
    assert_undecided(answer)
    assert time.monotonic() - begun > KONG_WAITS
    await_working(guest, model, media_id)
    assert not attempt.arrived


def test_a_plugin_server_that_stops_half_way_grants_nothing_late(
    stack: FaultyStack, guest: httpx.Client, model: CountingUpstream, media_id: str
) -> None:
    attempt = Attempt(model, media_id)
    try:
        with stack.fault("stop", "after edit"):
            answer = attempt.by(guest, CHAT)
    finally:
        stack.signal_plugin_server(signal.SIGCONT)
    assert_undecided(answer)
    await_working(guest, model, media_id)
    assert not attempt.arrived


def test_a_sidecar_that_never_answers_is_a_503(
    stack: FaultyStack, guest: httpx.Client, model: CountingUpstream, media_id: str
) -> None:
    uploaded = guest.post("/media/v1/media", files={"file": drawn("never-asked-for.png")})
    attempt, by_key = Attempt(model, uploaded.json()["id"]), Attempt(model)
    assert_works_again(guest, model, media_id)
    sidecar = next(part for part in stack.parts if part.name == "sidecar")
    os.kill(sidecar.pid, signal.SIGSTOP)
    try:
        with client_for(stack.base_url, "sk_" + "a" * 40) as holder:
            answers = [
                attempt.by(guest, CHAT),
                by_key.by(holder, CHAT),
            ]
    finally:
        os.kill(sidecar.pid, signal.SIGCONT)
    assert [answer.status_code for answer in answers] == [503, 503]
    for answer in answers:
        assert_error_shape(answer)
    assert not attempt.arrived
    assert not by_key.arrived
    await_working(guest, model, media_id)


def test_a_plugin_server_whose_instances_cannot_start_lets_nobody_through(
    stack: FaultyStack,
    guest: httpx.Client,
    stranger: httpx.Client,
    model: CountingUpstream,
    media_id: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault("ValueError", "instance"):
        stack.signal_plugin_server(signal.SIGKILL)
        statuses: list[int] = []
        give_up = time.monotonic() + 20
        while statuses[-2:] != [500] * 2:  # everybody is told what is wrong
            assert time.monotonic() < give_up, statuses
            statuses += [attempt.by(client, CHAT).status_code for client in (guest, stranger)]
    assert set(statuses) <= {500, 503}
    stack.signal_plugin_server(signal.SIGKILL)  # what could not start is not tried again
    await_working(guest, model, media_id)
    assert not attempt.arrived


def test_a_plugin_server_that_ends_at_once_again_and_again_lets_nobody_through(
    stack: FaultyStack,
    guest: httpx.Client,
    stranger: httpx.Client,
    model: CountingUpstream,
    media_id: str,
) -> None:
    attempt = Attempt(model, media_id)
    with stack.fault("SystemExit", "start"):
        stack.signal_plugin_server(signal.SIGKILL)
        answers = [attempt.by(client, CHAT) for _ in range(40) for client in (guest, stranger)]
    for answer in answers:
        assert_undecided(answer)
    await_working(guest, model, media_id)
    assert not attempt.arrived


def test_while_the_plugin_server_starts_nobody_gets_through(
    stack: FaultyStack,
    guest: httpx.Client,
    stranger: httpx.Client,
    model: CountingUpstream,
    media_id: str,
) -> None:
    intruding, waiting = Attempt(model, media_id), Attempt(model, media_id)
    refused = []
    with stack.fault("start slowly", "start"):
        stack.signal_plugin_server(signal.SIGKILL)
        give_up = time.monotonic() + 20
        while (answer := waiting.by(guest, CHAT)).status_code != 200:
            assert time.monotonic() < give_up
            refused += [answer, intruding.by(stranger, CHAT)]
    assert len(refused) > 10
    assert {answer.status_code for answer in refused} <= {401, 503}
    for answer in refused:
        assert_error_shape(answer)
    assert (intruding.arrived, waiting.arrived) == (0, 1)
    await_working(guest, model, media_id)


def test_many_requests_at_once_over_a_fault_are_all_refused(
    stack: FaultyStack, guest: httpx.Client, model: CountingUpstream, media_id: str
) -> None:
    attempt = Attempt(model, media_id)
    statuses: list[int] = []
    token = guest.headers["Authorization"].removeprefix("Bearer ")

    def ask() -> None:
        with client_for(stack.base_url, token) as client:
            for _ in range(10):
                statuses.append(attempt.by(client, CHAT).status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with stack.fault("ValueError", "after edit"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [500] * 80
    assert not attempt.arrived
    assert_works_again(guest, model, media_id)
