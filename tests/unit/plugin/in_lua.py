"""The plugin jan-media-gate, run by LuaJIT with as much of Kong as it needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jan_media_plugin
import lupa.luajit21 as luajit

GATE = Path(jan_media_plugin.__file__).parent.parent / "kong/plugins/jan-media-gate/handler.lua"

_KONG = b"""
response_headers = {}
kong = {
  ctx = { shared = {}, plugin = {} },
  client = { authenticate = function(...) done.identity = { ... } end },
  router = {
    get_route = function() return route end,
    get_service = function() return { host = "model.internal", port = 8287 } end,
  },
  request = {
    get_header = function(name) return headers[name] end,
    get_headers = function(most) return most == 1000 and headers or nil end,
    get_raw_body = function(limit) reads = reads + 1; return limit == 0 and body or nil end,
    get_http_version = function() return http_version end,
    get_raw_path = function() return path end,
  },
  service = { request = {
    set_raw_body = function(new) done.body = new end,
    set_headers = function(new) done.headers = new end,
  } },
  response = {
    exit = function(status) done.status = status; coroutine.yield() end,
    get_source = function() return source end,
    get_status = function() return done.status end,
    set_status = function(new) done.status = new end,
    get_header = function(name) return response_headers[name:lower()] end,
    set_header = function(name, value) response_headers[name:lower()] = value end,
    clear_header = function(name) response_headers[name:lower()] = nil end,
    get_raw_body = function()
      buffer = (buffer or "") .. piece
      return last and buffer or nil
    end,
    set_raw_body = function(new) done.answer = new end,
  },
}
ngx = {
  ctx = {},
  var = {
    upstream_scheme = "http",
    kong_request_id = "0f0f",
    upstream_host = "model.internal:8287",
  },
}
json = { null = {}, decode = function(text) return json_decode(text) end }
function json.encode(value) return value == json.null and "null" or json_encode(value) end
function require(name) assert(name == "cjson.safe"); return json end
function pass(piece_, last_)
  piece, last = piece_, last_
  gate:body_filter({ guards = true })
end
"""
# Kong runs a plugin in a coroutine, and has the gate's functions called there.
_CALLED = b"""
function(name, ...)
  local plugin = coroutine.create(kong.ctx.shared[name])
  assert(coroutine.resume(plugin, ...))
  return coroutine.status(plugin) == "suspended"
end
"""


@dataclass
class Done:
    """What was done of what the plugin decided."""

    headers: dict[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    groups: list[str] | None = None
    identity: list[Any] | None = None
    status: int | None = None
    open: bool = True
    """Whether the request may reach the upstream."""


@dataclass
class Answer:
    """What the client gets."""

    status: int
    headers: dict[str, str]
    body: bytes | None
    """None: as it was."""

    @property
    def error(self) -> dict[str, Any]:
        """What is wrong, from a body that must have the one shape and nothing beside it."""
        assert self.body is not None
        document = json.loads(self.body)
        assert document.keys() == {"error"}
        error: dict[str, Any] = document["error"]
        assert error.keys() == {"type", "code", "message", "param"}
        return error


class Gate:
    """One request's way through the gate."""

    def __init__(
        self,
        headers: dict[Any, Any] | None = None,
        body: bytes = b"",
        *,
        request_buffering: bool = True,
        http_version: float = 1.1,
        path: str = "/v1/chat/completions",
        upstream_uri: str = "/v1/chat/completions",
    ) -> None:
        self._lua: Any = luajit.LuaRuntime(encoding=None)
        lua = self._globals = self._lua.globals()
        lua[b"json_encode"] = lambda text: json.dumps(text.decode()).encode()
        lua[b"json_decode"] = self._decoded
        lua[b"body"] = body
        lua[b"done"] = self._lua.table()
        lua[b"reads"] = 0
        # nginx hands Lua one line as a text, several as a sequence, and an empty one as true.
        given = {name: line or True for name, line in (headers or {}).items()}
        lua[b"headers"] = self._to_lua(given)
        lua[b"route"] = self._to_lua({"name": "llm", "request_buffering": request_buffering})
        lua[b"http_version"] = http_version
        lua[b"path"] = path.encode()
        self._lua.execute(_KONG)
        lua[b"ngx"][b"var"][b"upstream_uri"] = upstream_uri.encode()
        lua[b"gate"] = self._lua.execute(GATE.read_bytes())

    def access(self, *, guards: bool = True) -> "Gate":
        """Run the access phase."""
        gate = self._globals[b"gate"]
        gate[b"access"](gate, self._lua.table_from({b"guards": guards}))
        return self

    @property
    def gathered(self) -> Any:
        """What jan-media finds in ``kong.ctx.shared``."""
        return _from_lua(self._lua.eval(b"kong.ctx.shared.jan_media_gathered"))

    @property
    def was_body_read(self) -> bool:
        """Whether the gate had Kong wait for the body."""
        return bool(self._globals[b"reads"])

    @property
    def open(self) -> bool:
        """Whether the request may reach the upstream."""
        return bool(self._globals[b"ngx"][b"var"][b"upstream_scheme"] == b"http")

    def piece(self, text: bytes) -> None:
        """Call what takes a piece of a long text; unlike the last call it comes back."""
        assert not self._lua.eval(_CALLED)(b"jan_media_piece", text)

    def admit(self, *args: Any) -> Done:
        """Make jan-media's last call, and see that Kong is not to come back from it."""
        assert self._lua.eval(_CALLED)(b"jan_media_admit", *(self._to_lua(each) for each in args))
        done = _from_lua(self._globals[b"done"])
        done = done if isinstance(done, dict) else {}
        return Done(
            done.get("headers") or {},
            self._globals[b"done"][b"body"],
            _from_lua(self._lua.eval(b"kong.ctx.shared.authenticated_groups")),
            done.get("identity"),
            done.get("status"),
            self.open,
        )

    def answer(
        self,
        source: str,
        status: int,
        headers: dict[str, str] | None = None,
        body: Sequence[bytes] = (b"",),
    ) -> Answer:
        """Pass an answer on, in pieces."""
        self._globals[b"source"] = source.encode()
        self._globals[b"done"][b"status"] = status
        lines = {name.lower(): value for name, value in (headers or {}).items()}
        self._globals[b"response_headers"] = self._to_lua(lines)
        gate = self._globals[b"gate"]
        gate[b"header_filter"](gate, self._lua.table_from({b"guards": True}))
        for at, piece in enumerate(body):
            self._globals[b"pass"](piece, at == len(body) - 1)
        return Answer(
            self._globals[b"done"][b"status"],
            _from_lua(self._globals[b"response_headers"]),
            self._globals[b"done"][b"answer"],
        )

    def _decoded(self, text: bytes) -> Any:
        try:
            return self._to_lua(json.loads(text))
        except ValueError:
            return None

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        if isinstance(value, list | tuple):
            return self._lua.table(*(self._to_lua(item) for item in value))
        if isinstance(value, dict):
            table = self._lua.table()
            for key, item in value.items():
                table[self._to_lua(key)] = self._to_lua(item)
            return table
        return value


def _from_lua(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if luajit.lua_type(value) == "table":
        items = {_from_lua(key): _from_lua(item) for key, item in value.items()}
        return list(items.values()) if all(isinstance(key, int) for key in items) else items
    return value
