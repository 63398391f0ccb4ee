"""The event loop does no blocking work, whatever is asked."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from jan_media.api.public import public_app
from jan_media.catalog.sqlite import SqliteCatalog
from jan_media.library.spool import Spool
from jan_media.settings import load_settings
from jan_media.sidecar import Sidecar
from jan_media.storage.local import LocalStorage

from tests.support.pictures import large_picture, picture

BLOCKING: dict[type, list[str]] = {
    SqliteCatalog: ["_read", "_transact"],
    LocalStorage: ["put", "size", "copy", "delete", "check"],
    Spool: ["write", "from_start"],
}


def test_blocking_work_never_runs_on_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done_by: dict[str, set[threading.Thread]] = {}

    def watched(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            done_by.setdefault(name, set()).add(threading.current_thread())
            return original(*arguments, **named)

        return call

    async def scenario() -> None:
        for kind, names in BLOCKING.items():
            for name in names:
                whole = f"{kind.__name__}.{name}"
                monkeypatch.setattr(kind, name, watched(whole, getattr(kind, name)))
        settings = {"MEDIA_STORAGE_BACKEND": "local", "MEDIA_DATA_DIR": str(tmp_path)}
        sidecar = Sidecar(load_settings(settings))
        sidecar.library.catalog.migrate()
        done_by.clear()
        transport = httpx.ASGITransport(app=public_app(sidecar))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for data in (picture(), picture(), large_picture(2_000_000)):
                answer = await http.post(
                    "/v1/media", files={"file": ("a", data)}, headers={"X-Jan-User-Id": "ann"}
                )
                id = answer.raise_for_status().json()["id"]
            assert (await http.post("/v1/media/resolve", json={"ids": [id]})).status_code == 200
            for path in ("", "/presign", "/content"):
                assert (await http.get(f"/v1/media/{id}{path}")).status_code == 200
            assert (await http.get("/v1/media", params={"user_id": "ann"})).status_code == 200
            assert (await http.get("/readyz")).status_code == 200
            gone = await http.delete(f"/v1/media/{id}", headers={"X-Jan-User-Id": "ann"})
            assert gone.status_code == 204
        sidecar.close()

    asyncio.run(scenario())

    assert {
        "SqliteCatalog._read",
        "SqliteCatalog._transact",
        "LocalStorage.put",
        "Spool.write",
    } <= (done_by.keys())
    on_loop = {name for name, who in done_by.items() if threading.current_thread() in who}
    assert on_loop == set()
