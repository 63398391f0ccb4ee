"""The calls that most tests make."""

import base64
from types import TracebackType
from typing import Any, Self

import httpx
import msgpack

from tests.contract.api.contract import hold
from tests.support.sidecar import RunningSidecar


class Api:
    """Talks to a sidecar's two listeners, as ``user`` where no other is named.

    Each answer of the public one is held against the contract.
    """

    def __init__(self, sidecar: RunningSidecar, user: str = "ann") -> None:
        self.sidecar = sidecar
        self.user = user
        self.http = httpx.Client(
            base_url=sidecar.public_url, timeout=20, event_hooks={"response": [hold]}
        )
        self.internal = httpx.Client(base_url=sidecar.internal_url, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()
        self.internal.close()

    def as_user(self, user: str) -> dict[str, str]:
        """The headers that a gateway sets for ``user``."""
        return {"X-Jan-User-Id": user, "X-Jan-Issuer": "https://issuer.test"}

    def post(self, path: str, body: Any, user: str = "") -> httpx.Response:
        return self.http.post(path, json=body, headers=self.as_user(user or self.user))

    def get(self, path: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(path, headers=self.as_user(self.user) | named)

    def upload(self, data: bytes, user: str = "") -> dict[str, Any]:
        """Upload as a data URL; the answer's body."""
        response = self.post("/v1/media", data_url_body(data), user)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def delete(self, media_id: str, user: str = "") -> httpx.Response:
        return self.http.delete(f"/v1/media/{media_id}", headers=self.as_user(user or self.user))

    def prepare(self, mime: str = "image/png") -> dict[str, Any]:
        response = self.post("/v1/media/prepare-upload", {"content_type": mime, "user_id": "x"})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def ask(self, path: str, message: Any, **headers: str) -> tuple[int, Any]:
        """Post msgpack to the internal listener; the status and the answer."""
        response = self.internal.post(
            path,
            content=msgpack.packb(message),
            headers={"Content-Type": "application/msgpack", **headers},
        )
        if response.headers["content-type"] == "application/msgpack":
            return response.status_code, msgpack.unpackb(response.content)
        return response.status_code, response.json()


def data_url_body(data: bytes, mime: str = "image/png") -> dict[str, Any]:
    """An upload's JSON body with the bytes in it."""
    encoded = base64.b64encode(data).decode()
    return {"source": {"type": "data_url", "data_url": f"data:{mime};base64,{encoded}"}}


def assert_error(
    response: httpx.Response, status: int, code: str, param: str | None = None
) -> dict[str, Any]:
    """The answer is this error, in the one shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    for_anthropic = "anthropic-version" in response.request.headers
    assert body.keys() == ({"type", "error"} if for_anthropic else {"error"})
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"type", "code", "message", "param"}
    assert (error["code"], error["param"]) == (code, param), error
    assert error["message"]
    return error
