"""SIGKILL at random moments under load: nothing acknowledged is lost, and no garbage stays."""

import random
import threading
import time

import pytest

from tests.invariant import amounts
from tests.invariant.backends import Backends
from tests.invariant.clients import Client, Unknown, run_all
from tests.support.sidecar import RunningSidecar, run_jan_media, running_sidecar

CLIENTS = 8
UPLOAD_TTL = 2  # seconds
SWEEP_EVERY = 4  # kills


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def serve(sidecar: RunningSidecar, clients: list[Client]) -> None:
    """Let the clients talk to this sidecar from now on."""
    for client in clients:
        client.addresses = lambda: [sidecar.public_url]


def work_until_it_dies(sidecar: RunningSidecar, clients: list[Client], seconds: float) -> None:
    """Find everything there, load the sidecar from all clients, and kill it in the middle."""
    serve(sidecar, clients)
    run_all(clients, Client.look_at_all)
    before = sum(client.done for client in clients)

    def work(client: Client) -> None:
        try:
            while True:
                client.act()
        except Unknown:
            return

    def kill() -> None:
        while sum(client.done for client in clients) == before:
            time.sleep(0.005)  # not before the load is there
        time.sleep(seconds)
        sidecar.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    run_all(clients, work)
    killer.join()


def sweep_and_look(backends: Backends, settings: dict[str, str], clients: list[Client]) -> None:
    """After a sweep that spares nothing, what the clients own is stored, and nothing else."""
    swept = run_jan_media("sweep", "--grace", "0", data_dir=backends.data_dir, **settings)
    assert swept.returncode == 0, swept.stderr
    ids: set[str] = set()
    for client in clients:
        own = backends.catalog.list_owned(client.owner, now=now_ms(), limit=100_000)
        ids |= {each.media.id for each in own.items}
        assert client.held.keys() | client.sent.keys() <= ids
    backends.assert_only(ids, now_ms())


@pytest.mark.timeout(amounts.LONGEST)
def test_a_killed_sidecar_loses_nothing_and_leaves_nothing(backends: Backends) -> None:
    chance = random.Random()
    settings = backends.settings | {
        "WORKERS": "2",
        "SWEEP_INTERVAL": "1s",
        "UPLOAD_TTL": f"{UPLOAD_TTL}s",
    }
    clients = [Client(f"client {n}", list, random.Random(chance.random())) for n in range(CLIENTS)]
    for kills in range(1, amounts.KILLS + 1):
        with running_sidecar(backends.data_dir, **settings) as sidecar:
            work_until_it_dies(sidecar, clients, chance.uniform(0, 1.5))
        if kills % SWEEP_EVERY == 0 or kills == amounts.KILLS:
            time.sleep(UPLOAD_TTL)  # no form is valid any more
            sweep_and_look(backends, settings, clients)
    with running_sidecar(backends.data_dir, **settings) as sidecar:
        serve(sidecar, clients)
        run_all(clients, Client.look_at_all)
    done = sum(client.done for client in clients)
    print(f"\n{amounts.KILLS} kills, {done} acknowledged operations, nothing lost, nothing left")
