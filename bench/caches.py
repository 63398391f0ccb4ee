"""What a cache saves: a hit and a miss of a token, an API key and a media id's URL.

``python -m bench.caches`` calls the plugin's own objects in this process. A miss of a token is the
check of its ES256 signature; the other two ask a sidecar, which ``bench.handler`` measures.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jan_media.media_id import new_media_id
from jan_media_plugin.auth.api_keys import ApiKeys
from jan_media_plugin.auth.tokens import token_checker
from jan_media_plugin.config import Issuer
from jan_media_plugin.resolve.sidecar import Sidecar
from jan_media_plugin.resolve.urls import Urls

from bench.command import Options, run
from bench.figures import Repeated, Spread, in_turn
from bench.report import Result, Table
from tests.unit.plugin.fake_sidecar import running_fake_sidecar
from tests.unit.plugin.tokens import EC_KEY, ISSUER, token

KEY = "sk_" + "k" * 40
URL = "https://storage.example/bucket/images/" + "s" * 300
IDS = [new_media_id() for _ in range(8)]


def measure(options: Options) -> Result:
    """Fill the caches once, then take turns."""
    sides = asyncio.run(_filled())

    def once(work: Callable[[], object]) -> Callable[[], float]:
        return lambda: Repeated(work).seconds(options.seconds) * 1e6

    taken = in_turn({name: once(work) for name, work in sides.items()}, options.passes)
    spreads = {name: Spread.of(values) for name, values in taken.items()}
    rows = [[name, f"{spread:.1f}"] for name, spread in spreads.items()]
    table = Table(["what", "µs CPU"], rows, "One question to the plugin's caches.")
    return Result("caches", [table], {name: each.as_json() for name, each in spreads.items()})


async def _filled() -> dict[str, Callable[[], object]]:
    with running_fake_sidecar() as fake:
        fake.keys[KEY] = {"valid": True, "user_id": "alice", "groups": ["staff"]}
        fake.media = dict.fromkeys(IDS, URL)
        sidecar = Sidecar(fake.url, None, 5)
        keys = ApiKeys(sidecar, cache_seconds=3600)
        await keys.check(KEY)
        urls = Urls(sidecar, resolve_as="url", max_bytes=1, cache_size=10_000)
        await urls.resolve(IDS)
    public = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    issuer = Issuer(
        issuer=ISSUER,
        jwks_url=None,
        discovery_url=None,
        secret=None,
        public_key=public.decode(),
        audience=("jan",),
        algorithms=("ES256",),
        groups_claim="groups",
        leeway=30,
    )
    tokens = token_checker((issuer,), fresh=300, stale=3600, timeout=5)
    text = token()
    await tokens.check(text)
    return {
        "token, known": lambda: tokens.remembered(text),
        "token, checked anew": lambda: _finished(tokens.check(text)),
        "API key, known": lambda: keys.remembered(KEY),
        "URL of 1 id, known": lambda: urls.remembered(IDS[:1]),
        "URLs of 8 ids, known": lambda: urls.remembered(IDS),
    }


def _finished(coroutine: Coroutine[Any, Any, object]) -> object:
    """Run a coroutine that has nothing to wait for, without a loop's own cost."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("it waits")


if __name__ == "__main__":
    run(measure, __doc__, passes=5, seconds=0.3)
