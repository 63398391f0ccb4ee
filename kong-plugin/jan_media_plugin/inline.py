"""Media that a client sends inline, as base64: stored once like an upload, recognized by hash."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pybase64
from blake3 import blake3

from jan_media_plugin.answers import Refused, Unavailable, invalid_request
from jan_media_plugin.auth.caller import Caller
from jan_media_plugin.bounded_cache import BoundedCache
from jan_media_plugin.config import Config
from jan_media_plugin.resolve.media import Answer, NoMedia
from jan_media_plugin.resolve.sidecar import Sidecar, SidecarRefuses
from jan_media_plugin.rewrite.candidates import Kind
from jan_media_plugin.rewrite.forms import takes_url
from jan_media_plugin.rewrite.parsed import Standing

_KNOWN_SECONDS = 3600  # after that, another upload renews the retention
_KNOWN_ENTRIES = 20_000
_AT_ONCE = 4  # uploads of one request: each holds its file in memory

_USUAL_ALPHABET = bytes.maketrans(b"-_", b"+/")  # of base64, for that in URLs (RFC 4648, section 5)

Digest = bytes
Resolve = Callable[[Sequence[str]], Awaitable[Mapping[str, Answer]]]

# By issuer, subject and the hash of what the client sent: each caller has uploads of its own.
_known_ids: BoundedCache[tuple[str, str, Digest], str] = BoundedCache(_KNOWN_ENTRIES)


@dataclass(frozen=True)
class InlineMedia:
    """The inline media of one request of ``caller``, at places where a URL is allowed too."""

    config: Config
    sidecar: Sidecar
    caller: Caller
    body: bytes

    async def named(self, standing: Sequence[Standing], resolve: Resolve) -> list[Standing]:
        """Return ``standing`` with the ids of all media that are stored now as names.

        Media that may not be stored get no name, and are passed on unchanged. ``resolve`` tells
        whether media that are known by hash still exist. Raises `Refused`.
        """
        digests = {
            one.candidate: blake3(self._text(one)).digest()
            for one in standing
            if one.candidate.kind is Kind.INLINE and takes_url(self.body, one)
        }
        by_digest = {digests[one.candidate]: one for one in standing if one.candidate in digests}
        try:
            ids = await self._known(by_digest, resolve)
            ids |= await self._store_all(
                {digest: one for digest, one in by_digest.items() if digest not in ids}
            )
        except Unavailable:
            if self.config.fit is not None:  # unchanged, it may not be what the model accepts
                raise
            return list(standing)
        names = {one: ids[digest] for one, digest in digests.items() if digest in ids}
        return [Standing(one._replace(name=names.get(one, one.name)), way) for one, way in standing]

    def _text(self, one: Standing) -> memoryview:
        return memoryview(self.body)[one.candidate.start : one.candidate.end]

    def _key(self, digest: Digest) -> tuple[str, str, Digest]:
        return self.caller.issuer, self.caller.subject, digest

    async def _known(self, digests: Iterable[Digest], resolve: Resolve) -> dict[Digest, str]:
        ids = {each: known for each in digests if (known := _known_ids.get(self._key(each)))}
        answers = await resolve(list(ids.values())) if ids else {}
        return {each: id_ for each, id_ in ids.items() if not isinstance(answers[id_], NoMedia)}

    async def _store_all(self, new: Mapping[Digest, Standing]) -> dict[Digest, str]:
        """Raises `Refused`."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def store(digest: Digest, one: Standing) -> None:
            async with room:
                media_id = await self._store(one)
            if media_id is not None:
                _known_ids.put(self._key(digest), media_id, _KNOWN_SECONDS)
                ids[digest] = media_id

        ids: dict[Digest, str] = {}
        try:
            async with asyncio.TaskGroup() as uploads:
                for digest, one in new.items():
                    uploads.create_task(store(digest, one))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return ids

    async def _store(self, one: Standing) -> str | None:
        """Return the id; None if the medium is passed on unchanged."""
        text = bytes(self._text(one)).replace(b"\\/", b"/")
        mime, encoded = _split_data_url(text)
        if encoded is None:
            return None
        encoded = encoded.translate(_USUAL_ALPHABET)  # Google's Python SDK uses the URL alphabet
        try:
            content = pybase64.b64decode(encoded, validate=True)
        except ValueError:
            raise invalid_request(
                "invalid_base64",
                "The bytes of this medium are no base64. Encode the file again.",
                one.way.spelled(),
            ) from None
        try:
            return await self.sidecar.store(content, mime, self.caller)
        except SidecarRefuses as refusal:
            if self.config.inline_refused == "pass":
                return None
            why, where = refusal, one.way.spelled()
            raise Refused(why.status, why.code, why.message, where) from None


def _split_data_url(text: bytes) -> tuple[str, bytes | None]:
    """Return the media type and the base64 of a data URL, or of bare base64.

    None for a data URL that is not base64.
    """
    if not text.startswith(b"data:"):
        return "application/octet-stream", text
    head, _, encoded = text[len(b"data:") :].partition(b",")
    mime, *parameters = head.decode("latin-1").split(";")
    is_base64 = any(each.strip().lower() == "base64" for each in parameters)
    return mime or "application/octet-stream", encoded if is_base64 else None
