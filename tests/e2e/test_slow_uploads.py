"""With `request_buffering: true` slow uploads wait in Kong, not in the sidecar."""

import socket
from pathlib import Path

from demo.images import drawn
from tests.e2e import kong_yml
from tests.e2e.conftest import client_for, guest_token, start_stack


def test_buffered_by_kong_slow_uploads_take_no_place_of_the_sidecar(tmp_path: Path) -> None:
    document = kong_yml.written()
    (media,) = [r for r in kong_yml.protected_routes(document) if r["name"] == "media"]
    media["request_buffering"] = True
    stack = start_stack(tmp_path, MEDIA_MAX_UPLOADS="1")
    stack.kong_yml = tmp_path / "buffering.yml"
    stack.kong_yml.write_text(kong_yml.text(document), "utf-8")
    image = drawn("slow.png")
    with stack:
        slow_guest, guest = guest_token(stack.base_url), guest_token(stack.base_url)
        slow = socket.create_connection(("127.0.0.1", stack.ports.gateway))
        head = (
            f"POST /media/v1/media HTTP/1.1\r\nHost: me\r\nAuthorization: Bearer {slow_guest}\r\n"
            f"Content-Type: image/png\r\nContent-Length: {len(image)}\r\nConnection: close\r\n\r\n"
        )
        with slow, client_for(stack.base_url, guest) as client:
            slow.sendall(head.encode() + image[:-1])
            others = [client.post("/media/v1/media", files={"file": image}) for _ in range(3)]
            slow.sendall(image[-1:])
            answer = slow.makefile("rb").readline()
    assert [other.status_code for other in others] == [200] * 3
    assert answer.startswith(b"HTTP/1.1 200")
