"""An issuer's published keys: fetched once, kept while the issuer is down, and finally refused."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jan_media_plugin.answers import Unavailable
from jan_media_plugin.auth.jwks import UNKNOWN_KEY_INTERVAL, Keys

from tests.unit.plugin.fake_sidecar import FakeSidecar
from tests.unit.plugin.test_tokens import issuer
from tests.unit.plugin.tokens import EC_KEY, ISSUER, OTHER_EC_KEY, RSA_KEY, public_jwk


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def published(sidecar: FakeSidecar, clock: Callable[[], float] | None = None) -> Keys:
    return Keys(
        issuer(jwks_url=f"{sidecar.url}/jwks.json"),
        fresh=100,
        stale=1000,
        timeout=1,
        clock=clock or Clock(),
    )


def fetches(sidecar: FakeSidecar) -> int:
    return len(sidecar.questions("/jwks.json"))


def test_keys_are_fetched_once_while_they_are_fresh(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        keys = published(sidecar)
        found = await asyncio.gather(*(keys.find("k1", "ES256") for _ in range(20)))
        assert all(len(one) == 1 for one in found)
        await keys.find("k1", "ES256")
        assert fetches(sidecar) == 1

    asyncio.run(scenario())


def test_an_unknown_key_id_causes_one_fetch_in_an_interval(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        clock = Clock()
        keys = published(sidecar, clock)
        for number in range(5):
            assert await keys.find(f"new{number}", "ES256") == []
        assert fetches(sidecar) == 1
        clock.now += UNKNOWN_KEY_INTERVAL
        sidecar.jwks["keys"].append(public_jwk(OTHER_EC_KEY, "new"))
        found = await asyncio.gather(*(keys.find("new", "ES256") for _ in range(5)))
        assert all(len(one) == 1 for one in found)
        assert fetches(sidecar) == 2

    asyncio.run(scenario())


def test_a_new_key_is_found_at_once_however_lately_the_keys_were_fetched(
    sidecar: FakeSidecar,
) -> None:
    async def scenario() -> None:
        clock = Clock()
        keys = published(sidecar, clock)
        assert len(await keys.find("k1", "ES256")) == 1
        sidecar.jwks["keys"].append(public_jwk(OTHER_EC_KEY, "new"))
        clock.now += 0.1
        assert len(await keys.find("new", "ES256")) == 1
        assert fetches(sidecar) == 2
        for number in range(5):
            assert await keys.find(f"unknown{number}", "ES256") == []
        assert fetches(sidecar) == 2
        clock.now += UNKNOWN_KEY_INTERVAL
        await asyncio.gather(*(keys.find(f"more{number}", "ES256") for number in range(5)))
        assert fetches(sidecar) == 3

    asyncio.run(scenario())


def test_many_callers_with_unknown_keys_share_one_fetch(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        keys = published(sidecar)
        await keys.find("k1", "ES256")
        sidecar.delay = 0.1
        await asyncio.gather(*(keys.find(f"new{number}", "ES256") for number in range(50)))
        assert fetches(sidecar) == 2

    asyncio.run(scenario())


def test_a_withdrawn_key_counts_no_more_once_the_keys_are_old(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        clock = Clock()
        keys = published(sidecar, clock)
        await keys.find("k1", "ES256")
        sidecar.jwks = {"keys": [public_jwk(OTHER_EC_KEY, "k2")]}
        clock.now += 101
        assert await keys.find("k1", "ES256") == []
        assert len(await keys.find("k2", "ES256")) == 1

    asyncio.run(scenario())


def test_an_issuer_that_is_away_keeps_its_keys_for_a_while(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        clock = Clock()
        keys = published(sidecar, clock)
        await keys.find("k1", "ES256")
        sidecar.broken = True
        clock.now += 101
        assert len(await keys.find("k1", "ES256")) == 1
        with pytest.raises(Unavailable):  # it may have published this one by now
            await keys.find("k2", "ES256")
        clock.now += 1000
        with pytest.raises(Unavailable):
            await keys.find("k1", "ES256")
        sidecar.broken = False
        clock.now += 1
        assert len(await keys.find("k1", "ES256")) == 1

    asyncio.run(scenario())


def test_nobody_waits_for_an_issuer_that_is_known_to_be_away(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        clock = Clock()
        keys = published(sidecar, clock)
        await keys.find("k1", "ES256")
        sidecar.broken = True
        clock.now += 101
        await keys.find("k1", "ES256")
        sidecar.delay = 0.5
        clock.now += 2
        async with asyncio.timeout(0.3):
            assert len(await keys.find("k1", "ES256")) == 1

    asyncio.run(scenario())


def test_an_issuer_that_was_never_there_is_an_error_each_time(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        sidecar.broken = True
        keys = published(sidecar)
        for _ in range(3):
            with pytest.raises(Unavailable):
                await keys.find("k1", "ES256")
        assert fetches(sidecar) == 1

    asyncio.run(scenario())


def test_a_slow_issuer_is_waited_for_no_longer_than_the_limit(sidecar: FakeSidecar) -> None:
    async def scenario() -> None:
        sidecar.delay = 3
        keys = published(sidecar)
        async with asyncio.timeout(2):
            with pytest.raises(Unavailable):
                await keys.find("k1", "ES256")

    asyncio.run(scenario())


def test_a_discovery_document_leads_to_the_keys_of_its_own_issuer(sidecar: FakeSidecar) -> None:
    def found() -> int:
        at = issuer(discovery_url=f"{sidecar.url}/.well-known/openid-configuration")
        keys = Keys(at, fresh=100, stale=1000, timeout=1)
        return len(asyncio.run(keys.find("k1", "ES256")))

    sidecar.discovery = {"issuer": ISSUER, "jwks_uri": f"{sidecar.url}/jwks.json"}
    assert found() == 1
    sidecar.discovery["issuer"] = "https://other.example"
    with pytest.raises(Unavailable):
        found()


@pytest.mark.parametrize(
    ("jwk", "algorithm", "counts"),
    [
        (public_jwk(EC_KEY), "ES256", True),
        (public_jwk(EC_KEY, None), "ES256", True),
        (public_jwk(RSA_KEY), "RS256", True),
        (public_jwk(EC_KEY, alg="ES256", use="sig", key_ops=["verify"]), "ES256", True),
        (public_jwk(EC_KEY), "RS256", False),
        (public_jwk(EC_KEY, use="enc"), "ES256", False),
        (public_jwk(EC_KEY, alg="ES384"), "ES256", False),
        (public_jwk(EC_KEY, key_ops=["sign"]), "ES256", False),
        (public_jwk(ec.generate_private_key(ec.SECP384R1())), "ES256", False),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}, "ES256", False),
        ({"kty": "EC", "kid": "k1"}, "ES256", False),
        (public_jwk(EC_KEY, key_ops=None), "ES256", False),
        (public_jwk(EC_KEY, key_ops=7), "ES256", False),
        (public_jwk(EC_KEY, x=7), "ES256", False),
        (public_jwk(EC_KEY, x="!"), "ES256", False),
        (public_jwk(EC_KEY, use=["sig"]), "ES256", False),
        (public_jwk(RSA_KEY, n="AQ"), "RS256", False),
        (public_jwk(RSA_KEY, e={}), "RS256", False),
        ({"kty": ["EC"], "kid": {}}, "ES256", False),
    ],
)
def test_only_public_signing_keys_of_the_right_kind_count(
    sidecar: FakeSidecar, jwk: dict[str, Any], algorithm: str, counts: bool
) -> None:
    sidecar.jwks = {"keys": ["nonsense", jwk]}
    found = asyncio.run(published(sidecar).find("k1", algorithm))
    assert len(found) == counts


def test_an_odd_key_does_not_hide_the_good_ones(sidecar: FakeSidecar) -> None:
    sidecar.jwks = {"keys": [public_jwk(OTHER_EC_KEY, key_ops=None), public_jwk(EC_KEY)]}
    assert len(asyncio.run(published(sidecar).find("k1", "ES256"))) == 1


@pytest.mark.parametrize(
    "url",
    ["http://[", "http://a b/\x00", "http://127.0.0.1:99999/", "http://xn--/", "http://\udcff/"],
)
def test_keys_at_a_url_that_is_none_are_as_good_as_away(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    keys = Keys(issuer(discovery_url="http://issuer.example"), fresh=100, stale=1000, timeout=1)
    get = keys._get

    async def discovered(asked: str) -> dict[str, Any]:
        if asked == "http://issuer.example":
            return {"issuer": ISSUER, "jwks_uri": url}
        return await get(asked)

    monkeypatch.setattr(keys, "_get", discovered)
    with pytest.raises(Unavailable):
        asyncio.run(keys.find("k1", "ES256"))


def test_a_secure_discovery_document_leads_to_no_insecure_keys(
    sidecar: FakeSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(
        issuer(discovery_url="https://issuer.example/.well-known/openid-configuration"),
        fresh=100,
        stale=1000,
        timeout=1,
    )

    async def discovered(url: str) -> dict[str, Any]:
        assert url.startswith("https://"), "the keys were asked for in the clear"
        return {"issuer": ISSUER, "jwks_uri": f"{sidecar.url}/jwks.json"}

    monkeypatch.setattr(keys, "_get", discovered)
    with pytest.raises(Unavailable):
        asyncio.run(keys.find("k1", "ES256"))
