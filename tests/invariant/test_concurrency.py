"""Many clients of two sidecars at once, with deletions and sweeps in between."""

import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.invariant import amounts
from tests.invariant.backends import Backends
from tests.invariant.clients import CONTENTS, Client, run_all
from tests.support.sidecar import run_jan_media, running_sidecar
from tests.support.waiting import wait_until

CLIENTS = 12
SEED = None if amounts.RANDOM else 7


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def sweeping_all_the_time(backends: Backends, settings: dict[str, str]) -> Iterator[None]:
    """By command too, and so that no running upload is spared: it has to begin again."""
    over = threading.Event()
    ended: list[subprocess.CompletedProcess[str]] = []

    def sweep() -> None:
        while not over.is_set():
            ended.append(
                run_jan_media("sweep", "--grace", "0", data_dir=backends.data_dir, **settings)
            )

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert [each.stderr for each in ended if each.returncode != 0] == []


@pytest.mark.timeout(amounts.LONGEST)
def test_one_id_per_content_and_every_id_that_answers_has_its_bytes(backends: Backends) -> None:
    settings = backends.settings | {"SWEEP_INTERVAL": "100ms", "UPLOAD_TTL": "10m"}
    with (
        running_sidecar(backends.data_dir, **settings) as one,
        running_sidecar(backends.data_dir, **settings) as two,
    ):
        seeds = random.Random(SEED)
        clients = [
            Client(f"client {n}", lambda: [one.public_url, two.public_url], seeds)
            for n in range(CLIENTS)
        ]
        for client in clients:
            client.chance = random.Random(seeds.random())
        together = threading.Barrier(CLIENTS)

        def upload_everything(client: Client) -> None:
            for number in range(len(CONTENTS)):
                together.wait()
                client.upload(number)

        run_all(clients, upload_everything)
        answers = [answer for client in clients for answer in client.answers]
        assert len(answers) == CLIENTS * len(CONTENTS)
        ids = {number: {id for n, id, _ in answers if n == number} for number, _, _ in answers}
        assert all(len(each) == 1 for each in ids.values())
        firsts = [number for number, _, deduped in answers if not deduped]
        assert sorted(firsts) == list(range(len(CONTENTS)))

        def do_anything(client: Client) -> None:
            for turn in range(amounts.OPERATIONS):
                client.act()
                if turn % 5 == 0:
                    others = client.chance.choice(clients)
                    for id in list(others.held)[:1]:
                        client.glance(id)
            client.look_at_all()

        with sweeping_all_the_time(backends, settings):
            run_all(clients, do_anything)
        answers = [answer for client in clients for answer in client.answers]
        births = [id for _, id, deduped in answers if not deduped]
        assert len(births) == len(set(births)), "two uploads were both the first of one id"
        promised = {id for client in clients for id in client.promised}
        assert {id for _, id, _ in answers} <= set(births) | promised
        alive = set().union(*(client.own() for client in clients))
        for number in range(len(CONTENTS)):
            uploaded = {id for n, id, _ in answers if n == number and id not in promised} & alive
            assert len(uploaded) <= 1, "a content has two ids"
        for id in {id for _, id, _ in answers} | promised:
            clients[0].glance(id)
        for sidecar in (one, two):
            assert "Traceback" not in sidecar.log, sidecar.log
            wait_until(lambda: "swept " in sidecar.log)  # noqa: B023  it is called at once
    swept = run_jan_media("sweep", "--grace", "0", data_dir=backends.data_dir, **settings)
    assert swept.returncode == 0, swept.stderr
    # The forms of direct uploads are still valid, so their own objects may be there.
    stored = backends.stored()
    media = backends.catalog.get_many(sorted(alive), now=now_ms()).values()
    kept = {key: name for key, name in stored.items() if not key.startswith("images/")}
    assert kept == {each.storage_key: each.sha256 for each in media}
    assert len(set(kept.values())) == len(kept), "a content is stored twice"
