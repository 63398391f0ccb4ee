"""A client of a gateway, over HTTP: signing in, media, and a chat."""

import contextlib
import json
import mimetypes
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from jan_media import __version__
from jan_media.commands.entry import tell

# Bytes. A larger file goes straight to the storage, by prepare-upload.
DIRECT_ABOVE = 8 * 1024 * 1024
PIECE = 64 * 1024
LARGEST_PAGE = 200
# A model may think for minutes before it says the next word.
TIMEOUT = httpx.Timeout(10.0, read=600.0, write=60.0)
SPARE_SECONDS = 60  # a token that expires sooner is not used

# Types that phones and browsers produce, and not every Python version knows.
for _format in ("heic", "heif", "avif", "webp"):
    mimetypes.add_type(f"image/{_format}", f".{_format}")


class GatewayError(Exception):
    """Why something was not done, and what to do about it: for a person to read."""


class Gateway:
    """One gateway, and our identity there."""

    def __init__(self, url: str, token: str = "") -> None:
        """``url`` may end in /v1, as SDKs have it. Raises `GatewayError` for an invalid URL."""
        self.url = url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
        try:
            parts = httpx.URL(self.url)
        except httpx.InvalidURL:
            parts = httpx.URL("")
        if parts.scheme not in ("http", "https") or not parts.host:
            raise GatewayError(f"{url} is no gateway's URL: write it as http://localhost:8000")
        self._client = httpx.Client(
            base_url=self.url, timeout=TIMEOUT, headers={"User-Agent": f"jan-media/{__version__}"}
        )
        self._token = token
        self.close = self._client.close

    def upload(self, file: BinaryIO, name: str) -> dict[str, Any]:
        """Send a file of this name and return the API's answer. Raises `GatewayError`."""
        size = os.fstat(file.fileno()).st_size
        mime = mimetypes.guess_type(name)[0]
        headers = {"Content-Type": mime or "application/octet-stream", "Content-Length": str(size)}
        if size <= DIRECT_ABOVE or not mime:
            return self._json("POST", "/media/v1/media", content=file, headers=headers)
        # Get a promised id, send the bytes to the storage, and have them checked.
        promised = self._json("POST", "/media/v1/media/prepare-upload", json={"content_type": mime})
        headers["Content-Type"] = promised["mime_type"]
        url = promised["presigned_url"]
        with self._stream("PUT", url, content=file, headers=headers, signed=True):
            pass
        return self._json("POST", f"/media/v1/media/{promised['id']}/complete")

    def media(self, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """The user's own media, newest first, and whether there are more. Raises `GatewayError`."""
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
        """What the API says about an id. Raises `GatewayError`."""
        return self._json("GET", f"/media/v1/media/{media_id}")

    @contextlib.contextmanager
    def download(self, media_id: str) -> Iterator[Iterator[bytes]]:
        """The bytes, as they come. Raises `GatewayError`."""
        with self._stream("GET", f"/media/v1/media/{media_id}/content") as response:
            yield response.iter_bytes(PIECE)

    def delete(self, media_id: str) -> None:
        """Give up the user's claim on an id. Raises `GatewayError`."""
        with self._stream("DELETE", f"/media/v1/media/{media_id}"):
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
        with self._stream("POST", "/v1/chat/completions", json=body) as response:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                yield str(json.loads(response.read())["choices"][0]["message"]["content"])
                return
            for event in _events(response.iter_bytes()):
                if "error" in event:
                    raise GatewayError(f"the model stopped: {_message(event)}")
                for choice in event.get("choices") or ():
                    yield choice.get("delta", {}).get("content") or ""

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Ask the gateway, and return the object that it answers with."""
        with self._stream(method, path, **request) as response:
            answer = _parsed(response)
        if not isinstance(answer, dict):
            raise self._no_gateway(path)
        return answer

    @contextlib.contextmanager
    def _stream(
        self, method: str, url: str, *, signed: bool = False, **request: Any
    ) -> Iterator[httpx.Response]:
        """A successful response whose body is still to come.

        ``url`` is a path of the gateway or, if ``signed``, a URL whose signature is the permission,
        such as one of the storage. It gets no token, and httpx sends none to another host that a
        download leads to. A connection that breaks while the body comes is a `GatewayError`, too.
        """
        headers = dict(request.pop("headers", {}))
        if not signed:
            headers["Authorization"] = f"Bearer {self._signed_in()}"
        request |= {"headers": headers, "follow_redirects": method == "GET"}
        with self._reached(), self._client.stream(method, url, **request) as response:
            if not response.is_success:
                raise GatewayError(_refusal(response))
            yield response

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Raise `GatewayError` if a host cannot be reached or stops answering."""
        try:
            yield
        except httpx.RequestError as problem:
            host = str(problem.request.url.copy_with(raw_path=b"/")).rstrip("/")
            advice = (
                ". Is the gateway running? Name another by --gateway or JAN_MEDIA_GATEWAY_URL"
                if host == self.url
                else ", which the gateway names for files. Its operator sets that address by "
                "MEDIA_PUBLIC_URL, or by MEDIA_S3_PUBLIC_ENDPOINT"
            )
            reason = str(problem) or type(problem).__name__
            raise GatewayError(f"no answer from {host} ({reason}){advice}") from None

    def _no_gateway(self, asked: str) -> GatewayError:
        return GatewayError(
            f"{self.url} answers {asked} with something else than a Jan Media Gateway would: "
            "is it the right address?"
        )

    def _signed_in(self) -> str:
        """The token: the given one, that of our earlier guest here, or a new guest's."""
        if not self._token:
            kept = _kept_guests().get(self.url, {}).get("token")
            self._token = kept if kept and self._takes(kept) else self._new_guest()
        return self._token

    def _takes(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        with self._reached():
            return self._client.get("/media/v1/media/usage", headers=headers).status_code != 401

    def _new_guest(self) -> str:
        with self._reached():
            answer = self._client.post("/llm/auth/guest-login")
        if not answer.is_success:
            raise GatewayError(
                f"no guest may log in here: {_refusal(answer)}. Give a token of yours by "
                "JAN_MEDIA_TOKEN or --token"
            )
        try:
            login = answer.json()
            token, until = str(login["access_token"]), time.time() + float(login["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise self._no_gateway("a login") from None
        with contextlib.suppress(OSError):
            path = _keep_guest(self.url, token, until)
            tell(f"signed in as a new guest of {self.url}, whose token is kept in {path}")
        return token


def _guests_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "jan-media" / "guests.json"


def _keep_guest(url: str, token: str, until: float) -> Path:
    """Write a guest's token where only this user reads it, and return where. Raises `OSError`."""
    path = _guests_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({**_kept_guests(), url: {"token": token, "until": until}}, file)
    os.replace(new, path)
    return path


def _kept_guests() -> dict[str, dict[str, Any]]:
    """Guests' tokens that are still valid for a while, by gateway URL; none if the file is not
    one of ours."""
    soon = time.time() + SPARE_SECONDS
    try:
        kept = json.loads(_guests_file().read_text("utf-8"))
        return {
            url: {"token": str(each["token"]), "until": each["until"]}
            for url, each in kept.items()
            if each["until"] > soon
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _events(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects of server-sent events.

    Only line feeds end a line: a model's text may contain Unicode's other line separators.
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


def _refusal(response: httpx.Response) -> str:
    """The message of an error response, and advice where the message has none."""
    status = response.status_code
    told = [f"HTTP {status}"]
    if request_id := response.headers.get("X-Request-Id"):
        told.append(f"request {request_id}")
    advice = ""
    if status == 401:
        advice = ". Give a token that the gateway knows by JAN_MEDIA_TOKEN or --token"
    elif response.has_redirect_location:
        advice = f". It sends us on to {response.headers['Location']}: name that by --gateway"
    said = _message(_parsed(response)) or response.reason_phrase
    return f"{said} ({', '.join(told)}){advice}"


def _parsed(response: httpx.Response) -> Any:
    """The JSON of a response; None if it is not JSON."""
    try:
        return json.loads(response.read())
    except ValueError:
        return None


def _message(answer: Any) -> str:
    """The message of an error in the gateway's shape, or in Kong's; "" if there is none."""
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        return f"{error.get('message', '')}{f' [{code}]' if code else ''}"
    return str(error or answer.get("message") or "")
