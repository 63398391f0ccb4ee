"""The internal listener: requests of the Kong plugin, in msgpack, and metrics for operators.

Every chat request with ids that are not cached waits for ``POST /internal/resolve``, so that is
kept simple: one msgpack message in, one out, nothing between.
"""

import re
from typing import Any
from urllib.parse import urlsplit

import msgpack
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from jan_media.api import health
from jan_media.api.access_log import AccessLog
from jan_media.api.bodies import RawBody, read_body
from jan_media.api.callers import guarded, owner_of, vouched_for
from jan_media.api.download import serve_media
from jan_media.api.ready_media import all_ready, fitted, one_fitted, one_ready
from jan_media.api.routes import Path, app, contract_paths, sidecar_of
from jan_media.api.upload import take_in
from jan_media.catalog.interface import Media, State
from jan_media.errors import Refused
from jan_media.identity.api_keys import valid_key
from jan_media.library.resolve import Found, link, why_not
from jan_media.media_id import PATTERN, parse_media_id
from jan_media.renditions.fit import Fit
from jan_media.sidecar import Sidecar

MSGPACK = "application/msgpack"
MAX_REQUEST = 1024 * 1024
MAX_NAMES = 1000  # the largest max_ids that the plugin accepts
LONGEST_URL = 8192  # characters


def internal_app(sidecar: Sidecar) -> ASGIApp:
    """The internal listener's app."""
    served: ASGIApp = app(sidecar, [*PATHS, Path("/metrics", GET=health.Scrape(sidecar))])
    shielded = guarded(served, sidecar, sidecar.settings.internal_listen, "/internal/")
    return AccessLog(shielded, sidecar.metrics, "internal")


async def resolve(request: Request) -> Response:
    """URLs for ids and for this installation's URLs; names without one are listed, and why."""
    sidecar = sidecar_of(request)
    asked = await _unpacked(request)
    names = asked.get("names")
    if not isinstance(names, list) or len(names) > MAX_NAMES:
        raise Refused("invalid_field", f"names must be a list of at most {MAX_NAMES}", "names")
    if not all(isinstance(name, str) for name in names):
        raise Refused("invalid_field", "names must hold strings", "names")
    fit = _fit(asked)
    if fit is not None and sidecar.ahead is not None:
        sidecar.ahead.asked(fit)
    return _packed(await _resolved(sidecar, names, fit))


async def content(request: Request) -> Response:
    """The bytes of one medium, for a model that cannot fetch them itself."""
    sidecar = sidecar_of(request)
    asked = await _unpacked(request)
    named = asked.get("id")
    if not isinstance(named, str):
        raise Refused("missing_field", "id is required", "id")
    fit = _fit(asked)
    media = (await one_ready(sidecar, named)).media
    if fit is not None:
        media = await one_fitted(sidecar, media, fit)
    return await serve_media(request, media)


async def store(request: Request) -> Response:
    """Store the body, which is a file, for the caller that the headers name, like an upload."""
    settings = sidecar_of(request).settings
    owner_of(request)  # before a byte is read
    allowed = settings.allowed_types | settings.file_types
    kept = await take_in(request, RawBody, allowed=allowed)
    media = kept.media
    return _packed(
        {"id": media.id, "mime": media.mime, "bytes": media.bytes, "deduped": kept.deduped}
    )


async def verify_key(request: Request) -> Response:
    """Whether an API key is valid, and whose it is."""
    sidecar = sidecar_of(request)
    key = (await _unpacked(request)).get("key")
    if not isinstance(key, str):
        raise Refused("missing_field", "key is required", "key")
    record = await sidecar.lanes.resolves.run(
        valid_key, sidecar.library.catalog, key, now=sidecar.library.clock()
    )
    answer = {"valid": False, "user_id": "", "groups": [], "key_id": "", "expires_at": None}
    if record is not None:
        until = None if record.expires_at is None else record.expires_at / 1000
        answer = {
            "valid": True,
            "user_id": record.owner,
            "groups": list(record.groups),
            "key_id": record.id,
            "expires_at": until,
        }
    return _packed(answer)


PATHS = [
    Path("/internal/resolve", POST=resolve),
    Path("/internal/content", POST=content),
    Path("/internal/store", POST=store),
    Path("/internal/keys/verify", POST=verify_key),
    Path("/healthz", GET=health.alive),
    Path("/readyz", GET=health.ready),
    *contract_paths("internal.yaml"),
]


async def _resolved(sidecar: Sidecar, names: list[str], fit: Fit | None) -> dict[str, Any]:
    """The answer for ``names``: ids, and URLs that may be ours. Media is converted to ``fit``."""
    ids = {name: parse_media_id(name) or media_id_of_url(sidecar, name) for name in names}
    known = list(dict.fromkeys(id for id in ids.values() if id is not None))
    resolved = await all_ready(sidecar, known, ttl=sidecar.settings.llm_url_ttl)
    ready = [each.media for each in resolved.found.values()]
    fits = {} if fit is None else await fitted(sidecar, ready, fit)
    answer: dict[str, Any] = {"media": {}, "errors": {}, "foreign": []}
    for name, id in ids.items():
        found = resolved.found.get(id or "")
        if id is None and "://" in name:
            answer["foreign"].append(name)
        elif id is None or found is None:
            answer["errors"][name] = _error(resolved.unready.get(id or ""))
        elif isinstance(fitting := fits.get(id, found.media), Refused):
            answer["errors"][name] = {"code": fitting.code, "message": fitting.message}
        elif fitting is found.media:
            answer["media"][name] = _answer(found)
        else:
            made = link(sidecar.library, fitting, ttl=found.ttl)
            answer["media"][name] = {**_answer(made), "rendition": True}
    return answer


_API_PATH = re.compile(
    rf"(?:/.*)?/v1/(?:media|files)/({PATTERN.pattern})(?:/content|/presign)?/?",
    re.IGNORECASE | re.ASCII,
)


def media_id_of_url(sidecar: Sidecar, url: str) -> str | None:
    """The id that a URL of this installation names, expired or not; None for any other URL.

    These are the API's URLs on the gateway, and the download URLs that the storage signs.
    """
    if len(url) > LONGEST_URL or "://" not in url:
        return None
    ours = (sidecar.settings.public_url, sidecar.settings.issuer)
    try:
        parts = urlsplit(url)
        match = _API_PATH.fullmatch(parts.path)
        if match and _where(url) in map(_where, ours):
            return parse_media_id(match[1])
    except ValueError:
        return None
    return sidecar.library.storage.media_id_of_url(url)


def _where(url: str) -> tuple[str, int]:
    """The host and the port of a URL. Raises `ValueError`."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _answer(found: Found) -> dict[str, Any]:
    return {
        "id": found.media.id,
        "url": found.url,
        "mime": found.media.mime,
        "bytes": found.media.bytes,
        "expires_at": found.expires_at / 1000,
        "ttl": found.ttl,
    }


def _error(media: Media | None) -> dict[str, str]:
    refusal = why_not(media)
    rejected = media is not None and media.state is State.REJECTED
    return {"code": "upload_rejected" if rejected else refusal.code, "message": refusal.message}


def _fit(asked: dict[str, Any]) -> Fit | None:
    """The limits that a message names; None if it names none."""
    given = asked.get("fit")
    if given is None:
        return None
    try:
        return Fit.parse(given if isinstance(given, dict) else {"types": given})
    except ValueError as problem:
        raise Refused("invalid_field", str(problem), "fit") from None


async def _unpacked(request: Request) -> dict[str, Any]:
    vouched_for(request)  # for the log
    body = await read_body(request, max_bytes=MAX_REQUEST)
    try:
        value = msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException):
        raise Refused("invalid_body", "The body is not one msgpack message") from None
    if not isinstance(value, dict):
        raise Refused("invalid_body", "The message must be a map")
    return value


def _packed(value: dict[str, Any]) -> Response:
    return Response(msgpack.packb(value), media_type=MSGPACK)
