"""A gateway as its clients see it: signing in, media, and a chat, over HTTP."""

import contextlib
import json
import mimetypes
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from jan_media import __version__

# From here on a file goes straight to the storage, by prepare-upload.
DIRECT_ABOVE = 8 * 1024 * 1024
PIECE = 64 * 1024
LARGEST_PAGE = 200
# A model may think for minutes before it says the next word.
TIMEOUT = httpx.Timeout(10.0, read=600.0, write=60.0)
SPARE_SECONDS = 60  # a token that ends within this time is not begun with

# What phones and browsers make, and not every Python knows.
for _type, _extension in (
    ("image/heic", ".heic"),
    ("image/heif", ".heif"),
    ("image/avif", ".avif"),
    ("image/webp", ".webp"),
):
    mimetypes.add_type(_type, _extension)


class GatewayError(Exception):
    """Why something was not done, and what to do about it: for a person to read."""


class Gateway:
    """One gateway, and who we are to it."""

    def __init__(self, url: str, token: str = "", *, tell: Callable[[str], None]) -> None:
        """``url`` may end in /v1, as SDKs have it. ``tell`` takes what a user should know.

        Raises `GatewayError` for what is no URL.
        """
        self.url = url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
        try:
            parts = httpx.URL(self.url)
        except httpx.InvalidURL:
            parts = httpx.URL("")
        if parts.scheme not in ("http", "https") or not parts.host:
            raise GatewayError(f"{url} is no gateway's URL: write it as http://localhost:8000")
        self._tell = tell
        self._client = httpx.Client(
            timeout=TIMEOUT, headers={"User-Agent": f"jan-media/{__version__}"}
        )
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def upload(self, path: Path, sent: Callable[[int], None]) -> dict[str, Any]:
        """Send a file and return the API's answer. ``sent`` is told of bytes as they go.

        Raises `GatewayError` and `OSError`.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            mime = mimetypes.guess_type(path.name)[0]
            pieces = _pieces(file, sent)
            if size > DIRECT_ABOVE and mime:
                return self._upload_directly(mime, size, pieces)
            headers = {
                "Content-Type": mime or "application/octet-stream",
                "Content-Length": str(size),
            }
            return self._json("POST", "/media/v1/media", content=pieces, headers=headers)

    def _upload_directly(self, mime: str, size: int, pieces: Iterator[bytes]) -> dict[str, Any]:
        """Have an id promised, send the bytes to the storage, have them checked."""
        promised = self._json("POST", "/media/v1/media/prepare-upload", json={"content_type": mime})
        headers = {"Content-Type": promised["mime_type"], "Content-Length": str(size)}
        url = promised["presigned_url"]
        with self._stream("PUT", url, content=pieces, headers=headers, signed=True):
            pass
        return self._json("POST", f"/media/v1/media/{promised['id']}/complete")

    def media(self, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """One's own media, newest first, and whether there are more. Raises `GatewayError`."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            query = {"limit": str(min(limit - len(found), LARGEST_PAGE)), "after": after}
            page = self._json("GET", "/media/v1/media", params=query)
            found += page["media"]
            after = page["next"] or ""
            if not after or len(found) >= limit:
                return found, bool(after)

    def info(self, media_id: str) -> dict[str, Any]:
        """What the API says of one's media. Raises `GatewayError`."""
        return self._json("GET", f"/media/v1/media/{media_id}")

    @contextlib.contextmanager
    def download(self, media_id: str) -> Iterator[Iterator[bytes]]:
        """The bytes, as they come. Raises `GatewayError`."""
        with self._stream("GET", f"{self.url}/media/v1/media/{media_id}/content") as response:
            yield self._watched(response.iter_bytes(PIECE))

    def delete(self, media_id: str) -> None:
        """Give up one's claim on an id. Raises `GatewayError`."""
        with self._stream("DELETE", f"{self.url}/media/v1/media/{media_id}"):
            pass

    def first_model(self) -> str:
        """The model that the gateway names first. Raises `GatewayError`."""
        models = self._json("GET", "/v1/models").get("data")
        if not models:
            raise GatewayError("the gateway names no model: name one by --model")
        return str(models[0]["id"])

    def chat(self, model: str, text: str, media_ids: Sequence[str]) -> Iterator[str]:
        """Ask a model, and yield its answer as it comes. Raises `GatewayError`."""
        images = [{"type": "image_url", "image_url": {"url": each}} for each in media_ids]
        content = [{"type": "text", "text": text}, *images] if images else text
        body = {
            "model": model,
            "stream": True,
            "messages": [{"role": "user", "content": content}],
        }
        url = f"{self.url}/v1/chat/completions"
        with self._stream("POST", url, json=body) as response:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                whole = json.loads(b"".join(self._watched(response.iter_bytes())))
                yield str(whole["choices"][0]["message"]["content"])
                return
            for event in _events(self._watched(response.iter_bytes())):
                if "error" in event:
                    raise GatewayError(f"the model stopped: {_message(event)}")
                for choice in event.get("choices") or ():
                    yield choice.get("delta", {}).get("content") or ""

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Ask the gateway, and return the object that it answers with."""
        with self._stream(method, f"{self.url}{path}", **request) as response:
            try:
                answer = json.loads(b"".join(self._watched(response.iter_bytes())))
            except ValueError:
                answer = None
        if not isinstance(answer, dict):
            raise GatewayError(
                f"{self.url} answers {path} with something else than a Jan Media Gateway would: "
                "is it the right address?"
            )
        return answer

    @contextlib.contextmanager
    def _stream(
        self, method: str, url: str, *, signed: bool = False, **request: Any
    ) -> Iterator[httpx.Response]:
        """A successful response whose body is still to come.

        ``signed`` is for a URL that is its own permission and gets no token, as one of the
        storage's is. Other hosts that a download leads to get none either: httpx sees to it.
        """
        headers = dict(request.pop("headers", {}))
        if not signed:
            headers["Authorization"] = f"Bearer {self._signed_in()}"
        asked = self._client.build_request(method, url, headers=headers, **request)
        try:
            response = self._client.send(asked, stream=True, follow_redirects=method == "GET")
        except httpx.RequestError as problem:
            raise self._away(problem) from None
        try:
            if not response.is_success:
                raise GatewayError(self._refusal(response))
            yield response
        finally:
            response.close()

    def _watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces of a body, with a connection that breaks told as everything else is."""
        try:
            yield from pieces
        except httpx.RequestError as problem:
            raise self._away(problem) from None

    def _away(self, problem: httpx.RequestError) -> GatewayError:
        host = str(problem.request.url.copy_with(raw_path=b"/")).rstrip("/")
        reason = str(problem) or type(problem).__name__
        if host == self.url:
            return GatewayError(
                f"no answer from {host} ({reason}). Is the gateway running? Name another by "
                "--gateway or JAN_MEDIA_GATEWAY_URL"
            )
        return GatewayError(
            f"no answer from {host} ({reason}), which the gateway names for files. Its operator "
            "sets that address by MEDIA_PUBLIC_URL, or by MEDIA_S3_PUBLIC_ENDPOINT"
        )

    def _refusal(self, response: httpx.Response) -> str:
        """What an error's response says, and what to do where that is not said."""
        status = response.status_code
        try:
            answer = json.loads(b"".join(self._watched(response.iter_bytes())))
        except ValueError:
            answer = {}
        told = [f"HTTP {status}"]
        if request_id := response.headers.get("X-Request-Id"):
            told.append(f"request {request_id}")
        advice = ""
        if status == 401:
            advice = ". Give a token that the gateway knows by JAN_MEDIA_TOKEN or --token"
        elif response.has_redirect_location:
            advice = f". It sends us on to {response.headers['Location']}: name that by --gateway"
        return f"{_message(answer) or response.reason_phrase} ({', '.join(told)}){advice}"

    def _signed_in(self) -> str:
        """The token: given, kept of an earlier guest, or a new guest's."""
        if not self._token:
            self._token = self._kept_guest() or self._new_guest()
        return self._token

    def _kept_guest(self) -> str:
        """The token of the guest that we were here before, if the gateway still takes it."""
        kept = _kept_guests().get(self.url, {})
        token = str(kept.get("token", ""))
        if not token or kept.get("until", 0) < time.time() + SPARE_SECONDS:
            return ""
        headers = {"Authorization": f"Bearer {token}"}
        try:
            answer = self._client.get(f"{self.url}/media/v1/media/usage", headers=headers)
        except httpx.RequestError as problem:
            raise self._away(problem) from None
        return "" if answer.status_code == 401 else token

    def _new_guest(self) -> str:
        try:
            answer = self._client.post(f"{self.url}/llm/auth/guest-login")
        except httpx.RequestError as problem:
            raise self._away(problem) from None
        if not answer.is_success:
            raise GatewayError(
                f"no guest may log in here: {self._refusal(answer)}. Give a token of yours by "
                "JAN_MEDIA_TOKEN or --token"
            )
        try:
            login = answer.json()
            token, until = str(login["access_token"]), time.time() + float(login["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise GatewayError(
                f"{self.url} answers a login with something else than a Jan Media Gateway would: "
                "is it the right address?"
            ) from None
        with contextlib.suppress(OSError):
            path = _keep_guest(self.url, token, until)
            self._tell(f"signed in as a new guest of {self.url}, whose token is kept in {path}")
        return token


def _guests_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "jan-media" / "guests.json"


def _keep_guest(url: str, token: str, until: float) -> Path:
    """Write a guest's token where only this user reads it, and return where. Raises `OSError`."""
    now, path = time.time(), _guests_file()
    guests = {other: kept for other, kept in _kept_guests().items() if kept["until"] > now}
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({**guests, url: {"token": token, "until": until}}, file)
    os.replace(new, path)
    return path


def _kept_guests() -> dict[str, dict[str, Any]]:
    """Tokens of guests by their gateways' URLs. A file that is none of ours holds none."""
    try:
        kept = json.loads(_guests_file().read_text("utf-8"))
        return {
            str(url): {"token": str(each["token"]), "until": float(each["until"])}
            for url, each in kept.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _pieces(file: BinaryIO, sent: Callable[[int], None]) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece
        sent(len(piece))


def _events(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of server-sent events.

    Lines end at line feeds alone: a model's text may hold what else Unicode takes for a line's end.
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                event = json.loads(data)
                if isinstance(event, dict):
                    yield event


def _message(answer: Any) -> str:
    """The message of an error in the gateway's shape, or in Kong's; "" if it is none."""
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        return f"{error.get('message', '')}{f' [{code}]' if code else ''}"
    return str(error or answer.get("message") or "")
