"""The plugin: one `access` phase."""

import functools
import logging
import time
import uuid
from typing import Any

from jan_media_plugin import tracing
from jan_media_plugin.answers import Refused, unauthenticated
from jan_media_plugin.auth.api_keys import ApiKeys
from jan_media_plugin.auth.caller import Caller, caller_of_kong, presented
from jan_media_plugin.auth.tokens import Tokens
from jan_media_plugin.config import read_config
from jan_media_plugin.exchange import Exchange, Identity
from jan_media_plugin.headers import (
    UpstreamHeaders,
    check_connection,
    check_length,
    check_size,
)
from jan_media_plugin.media_in_body import MediaInBody
from jan_media_plugin.metrics import count_request
from jan_media_plugin.resolve.media import MediaLookup
from jan_media_plugin.resolve.sidecar import Sidecar

log = logging.getLogger(__name__)

# A process has one plugin instance for each place in kong.yml and each Kong worker. Instances with
# the same settings share one object, with its caches and connections.
_shared_sidecar = functools.lru_cache(maxsize=64)(Sidecar)
_shared_tokens = functools.lru_cache(maxsize=64)(Tokens)
_shared_api_keys = functools.lru_cache(maxsize=64)(ApiKeys)
_shared_lookup = functools.lru_cache(maxsize=64)(MediaLookup)


class Plugin:
    """One instance, for one ``config`` of kong.yml. Holds no state of any request."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Raises `ConfigError`; the server then refuses every request of the instance."""
        self._config = read = read_config(config)
        timeout = read.timeout_ms / 1000
        sidecar = _shared_sidecar(read.sidecar_url, read.gateway_secret, timeout)
        self._api_keys = _shared_api_keys(sidecar, read.key_cache_seconds)
        self._tokens = _shared_tokens(
            read.issuers,
            fresh=read.jwks_cache_seconds,
            stale=read.jwks_stale_seconds,
            timeout=timeout,
        )
        self._upstream_headers = UpstreamHeaders(read)
        self._consumers = {i.issuer: i.consumer_id for i in read.issuers if i.consumer_id}
        lookup = _shared_lookup(sidecar, cache_size=read.url_cache_size)
        self._media = MediaInBody(read, sidecar, lookup)

    async def access(self, kong: Any) -> None:
        """Admit the request, or end it. Each call on ``kong`` costs Kong 50 µs, so there are few.

        The grant is the last call: if anything ends this early, the way to the upstream is still
        closed, and the route's acl refuses every request that was not granted.
        """
        began, exchange, span, outcome = time.perf_counter(), None, None, "unfinished"
        try:
            exchange = Exchange(kong, await kong.ctx.shared.get("jan_media_gathered"))
            headers = exchange.headers
            span = tracing.begin(headers, exchange.about.request_id, exchange.route)
            check_size(headers, self._config.max_header_bytes)
            check_connection(headers)
            caller = await self._identify(exchange)
            if caller is not None:
                exchange.about.caller = f"{caller.issuer}|{caller.subject}"
            length = check_length(headers, self._config.max_body_bytes)
            if self._config.resolve and length != 0:
                await self._media.resolve(exchange, caller)
            changes = self._upstream_headers.changes(headers, caller)
            granted, identity = self._granted(caller), self._identity(caller)
            if span is not None:
                changes = {**changes, **tracing.passed_on()}
            outcome = "admitted"
            await exchange.admit(changes, granted, identity)
        except Refused as refused:
            outcome = refused.code
            await kong.response.exit(*refused.arguments())
        finally:
            route, body = (exchange.route, exchange.body_seconds) if exchange else (None, 0.0)
            seconds = time.perf_counter() - began - body
            count_request(route, outcome, seconds)
            tracing.end(span, outcome)
            log.debug("%s %s %.1fms", route, outcome, seconds * 1000)

    def _granted(self, caller: Caller | None) -> list[str] | None:
        """Return the groups for the route's acl guard; None if the route needs no guard."""
        if self._config.auth == "off":
            return None
        return [self._config.grant_group, *(caller.groups if caller is not None else ())]

    def _identity(self, caller: Caller | None) -> Identity | None:
        """Return the caller as Kong's consumer and credential, if Kong is to know the caller.

        Both, since without a credential Kong's acl takes a consumer's groups from its database.
        """
        if caller is None or self._config.auth == "consumer":
            return None
        consumer_id = self._consumers.get(caller.issuer)
        if consumer_id is None and not self._config.set_consumer:
            return None
        own_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{caller.issuer}|{caller.subject}"))
        consumer = {"id": own_id, "username": caller.subject, "custom_id": caller.subject}
        if consumer_id is not None:
            consumer = {"id": consumer_id}
        return consumer, {"id": own_id, "consumer_id": consumer["id"]}

    async def _identify(self, exchange: Exchange) -> Caller | None:
        """Return the caller; None for an anonymous request, where those are allowed."""
        if self._config.auth == "off":
            return None
        if self._config.auth == "consumer":
            return caller_of_kong(await exchange.consumer())
        credential = presented(exchange.headers, api_keys=self._config.api_keys)
        if credential is None:
            if self._config.auth == "optional":
                return None
            raise unauthenticated("Send a token: Authorization: Bearer <token>.")
        checker = self._api_keys if credential.is_api_key else self._tokens
        return await checker.check(credential.text)
