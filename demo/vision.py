"""The demo model's eyes: they fetch or decode each medium of a request and describe it exactly."""

import asyncio
import base64
import binascii
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from PIL import Image, UnidentifiedImageError

from demo.limits import Limits

Image.MAX_IMAGE_PIXELS = None  # the provider's limits decide, and no image is decoded here


class Unseen(Exception):
    """A medium that this model cannot see. The message is for the caller."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Medium:
    """One medium as a request names it: by ``url`` (data URLs too) or by ``base64``."""

    kind: str  # "Image", "Audio" or "File": what the answer calls it
    url: str = ""
    base64: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the model says about a medium, and how many tokens it would have cost."""

    words: str
    tokens: int


async def see(media: Sequence[Medium], limits: Limits) -> list[Seen]:
    """Look at all media of a request in parallel. Raises `Unseen` for the first that fails."""
    # The environment's proxies are not for media, which come from the gateway's own storage.
    async with httpx.AsyncClient(timeout=15, trust_env=False, follow_redirects=True) as client:
        contents = await asyncio.gather(*(_content(medium, client) for medium in media))
    images = sum(medium.kind == "Image" for medium in media)
    return [
        _seen(medium, content, limits, images)
        for medium, content in zip(media, contents, strict=True)
    ]


async def _content(medium: Medium, client: httpx.AsyncClient) -> bytes:
    if medium.base64 is not None:
        return _decoded(medium.base64)
    if medium.url.startswith("data:"):
        header, comma, payload = medium.url.partition(",")
        if not comma or not header.endswith(";base64"):
            raise Unseen("A data URL must be base64.")
        return _decoded(payload)
    if not medium.url.startswith(("http://", "https://")):
        raise Unseen(f"I can fetch http(s) and data URLs only, not {medium.url[:80]!r}.")
    try:
        answer = await client.get(medium.url)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise Unseen(f"Fetching the image failed: {problem}.") from problem
    if answer.status_code != 200:
        raise Unseen(f"Fetching the image was answered with {answer.status_code}.")
    return answer.content


def _decoded(payload: str) -> bytes:
    try:
        return base64.b64decode(payload.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as problem:
        raise Unseen(f"This is not base64: {problem}.") from problem


def _seen(medium: Medium, content: bytes, limits: Limits, images: int) -> Seen:
    digest = f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
    if medium.kind != "Image":
        return Seen(f"{_kind_of_file(content)}, {digest}", 1 + len(content) // 1024)
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height, kind = image.width, image.height, str(image.format)
            frames = getattr(image, "n_frames", 1)
    except (UnidentifiedImageError, OSError, ValueError) as problem:
        if refusal := limits.refuses_unknown():
            raise Unseen(refusal) from problem
        raise Unseen("The bytes behind this URL are no image that I know.") from problem
    if refusal := limits.refuses(kind, len(content), width, height, frames, images):
        raise Unseen(refusal)
    return Seen(f"{kind}, {width}×{height} pixels, {digest}", 1 + width * height // 750)


def _kind_of_file(content: bytes) -> str:
    for start, name in ((b"%PDF-", "PDF"), (b"RIFF", "WAV"), (b"ID3", "MP3"), (b"\xff\xfb", "MP3")):
        if content.startswith(start):
            return name
    return "file"
