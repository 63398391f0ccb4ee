"""Kong's side of the external-plugin protocol, as in Kong 3.9, without a Kong.

After Kong's kong/runloop/plugin_servers/{plugin,rpc/mp_rpc}.lua: every single call takes any idle
connection of a pool, so the steps of one event arrive on different ones; message ids are checked;
an instance is started at first use, and again after an error with "no plugin instance"; and what is
packed is what lua-MessagePack would pack. How a request ends is told in Kong's terms: passed on,
exited, failed (Kong answers 500), or proxied un-plugged.
"""

import collections
import contextlib
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

Text = str | bytes


class Binary(bytes):
    """What Kong packs as binary: raw bodies. Every other Lua string is packed as a string."""


def pack_like_lua(value: Any) -> bytes:
    """Pack as lua-MessagePack does by default in Kong: no str8, {} is an array, whole numbers int.

    A map may hold None only as Lua would: the key is not there.
    """
    if isinstance(value, Binary):
        return bytes(msgpack.packb(bytes(value), use_bin_type=True))
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return bytes(msgpack.packb(value, use_bin_type=False))
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, MultiMap):
        return _packed_map(value)
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None}
        return _packed_map(kept) if kept else b"\x90"
    if isinstance(value, list | tuple):
        return _header(len(value), 0x90, 0xDC) + b"".join(map(pack_like_lua, value))
    return bytes(msgpack.packb(value))


def _packed_map(items: dict[Any, Any]) -> bytes:
    packed = (pack_like_lua(part) for pair in items.items() for part in pair)
    return _header(len(items), 0x80, 0xDE) + b"".join(packed)


def _header(length: int, fixed: int, sized: int) -> bytes:
    if length < 16:
        return bytes([fixed | length])
    if length < 1 << 16:
        return struct.pack(">BH", sized, length)
    return struct.pack(">BI", sized + 1, length)


class MultiMap(dict[Text, list[Text]]):
    """Headers or query as Kong's fix_mmap leaves them: values in lists, an empty one as []."""


def multi_map(values: dict[Text, Text | list[Text]]) -> MultiMap:
    """Return ``values`` as Kong hands them over; an empty value becomes an empty list."""
    return MultiMap(
        (key, value if isinstance(value, list) else [value] if value else [])
        for key, value in values.items()
    )


@dataclass
class ScriptedRequest:
    """A request as the PDK shows it to a plugin, and what the plugin did to it."""

    headers: dict[Text, Text | list[Text]] = field(default_factory=dict)
    query: dict[Text, Text | list[Text]] = field(default_factory=dict)
    body: bytes = b""
    method: str = "POST"
    path: str = "/v1/chat/completions"
    shared: dict[str, Any] = field(default_factory=dict)
    """``kong.ctx.shared``."""
    pdk: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """More PDK functions, or others in place of those here. PdkError is ``nil, err`` in Lua."""

    calls: list[str] = field(default_factory=list)
    """The PDK functions that were called, in order."""
    headers_set: dict[str, Any] = field(default_factory=dict)
    headers_cleared: list[str] = field(default_factory=list)
    body_set: bytes | None = None
    authenticated: list[Any] | None = None
    logged: list[Any] = field(default_factory=list)

    def answer(self, method: str, args: list[Any]) -> Any:
        """Return what Kong's PDK would; None for a function that it does not have."""
        self.calls.append(method)
        if method in self.pdk:
            return self.pdk[method](*args)
        if method.startswith("kong.log"):
            return self.logged.append([method, *args])
        own = getattr(self, "_" + method.removeprefix("kong.").replace(".", "_"), None)
        return None if own is None else own(*args)

    def _request_get_headers(self, _most: int = 100) -> MultiMap:
        return multi_map(self.headers)

    def _request_get_query(self, _most: int = 100) -> MultiMap:
        return multi_map(self.query)

    def _request_get_header(self, name: str) -> Text | None:
        value = self.headers.get(name.lower())
        return value[0] if isinstance(value, list) else value

    def _request_get_raw_body(self, _largest: int = 0) -> Binary:
        return Binary(self.body)

    def _request_get_method(self) -> str:
        return self.method

    def _request_get_path(self) -> str:
        return self.path

    def _client_authenticate(self, *who: Any) -> None:
        self.authenticated = list(who)

    def _service_request_set_headers(self, headers: dict[str, Any]) -> None:
        self.headers_set.update(headers)

    def _service_request_set_header(self, name: str, value: Any) -> None:
        self.headers_set[name] = value

    def _service_request_clear_header(self, name: str) -> None:
        self.headers_cleared.append(name)

    def _service_request_set_raw_body(self, body: Text) -> None:
        self.body_set = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body

    def _ctx_shared_get(self, key: str) -> Any:
        return self.shared.get(key)

    def _ctx_shared_set(self, key: str, value: Any = None) -> None:
        self.shared[key] = value


class PdkError(Exception):
    """Raised by a scripted PDK function: ``return nil, err`` in Lua."""


class PluginLeft(Exception):
    """Raised by a scripted function of Lua's that yields: to Kong the plugin is over."""


@dataclass(frozen=True)
class Outcome:
    """How Kong's part of a request ended."""

    kind: str
    """``passed`` (the plugin let it through), ``exited`` (the plugin answered), ``failed`` (Kong
    answers 500) or ``unplugged`` (Kong proxies as if there were no plugin)."""
    status: int | None = None
    body: bytes = b""
    headers: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def json(self) -> Any:
        """The body of an answer."""
        return json.loads(self.body)


class CallFailed(Exception):
    """A call has no result: Kong's ``nil, err``."""


class WrongAnswer(Exception):
    """An answer to another message: Lua's assert fails, and Kong answers 500."""


STEPS = {
    "kong.client.get_credential": "plugin.StepCredential",
    "kong.client.load_consumer": "plugin.StepConsumer",
    "kong.client.get_consumer": "plugin.StepConsumer",
    "kong.client.authenticate": "plugin.StepCredential",
    "kong.node.get_memory_stats": "plugin.StepMemoryStats",
    "kong.router.get_route": "plugin.StepRoute",
    "kong.router.get_service": "plugin.StepService",
    "kong.request.get_query": "plugin.StepMultiMap",
    "kong.request.get_headers": "plugin.StepMultiMap",
    "kong.response.get_headers": "plugin.StepMultiMap",
    "kong.service.response.get_headers": "plugin.StepMultiMap",
}
"""The kind of the step that brings a function's result; ``plugin.Step`` for all others."""


class KongDriver:
    """One Kong worker. ``connections`` of its pool are there from the start."""

    def __init__(
        self, path: Path, *, plugin: str, connections: int = 3, read_timeout: float = 60.0
    ) -> None:
        self.path = path
        self.plugin = plugin
        self.read_timeout = read_timeout
        """``lua_socket_read_timeout``, seconds."""
        self.idle: collections.deque[socket.socket] = collections.deque()
        self.message_ids = itertools.count(1)
        self.instances: dict[str, int] = {}
        """The instance of each configuration, by its JSON text."""
        with contextlib.suppress(OSError):
            self.idle.extend(self._connect() for _ in range(connections))

    def close(self) -> None:
        """Close the pool."""
        while self.idle:
            self.idle.pop().close()

    def __enter__(self) -> "KongDriver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.read_timeout)
        connection.connect(str(self.path))
        return connection

    def _take_connection(self) -> socket.socket:
        """Take the connection that has been idle longest, as far as it is still open."""
        while self.idle:
            connection = self.idle.popleft()
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(1, socket.MSG_PEEK):
                    connection.close()
                    continue  # nginx drops a pooled connection that was closed
            connection.settimeout(self.read_timeout)
            return connection
        return self._connect()

    def call(self, method: str, *args: Any) -> Any:
        """Make one call on any idle connection. CallFailed or WrongAnswer when it comes to that."""
        number = next(self.message_ids)
        try:
            connection = self._take_connection()
        except OSError as error:
            raise CallFailed(f"trying to connect: {error}") from error
        try:
            connection.sendall(pack_like_lua([0, number, method, list(args)]))
            answer = self._read(connection)
        except (OSError, EOFError) as error:
            # Kong gives even this one back to the pool.
            if isinstance(error, TimeoutError):
                self.idle.append(connection)
            else:
                connection.close()
            raise CallFailed("no data") from error
        if answer[0] != 1 or answer[1] != number:
            connection.close()
            raise WrongAnswer(f"asked {number}, answered {answer[1]}")
        self.idle.append(connection)
        if answer[2] is not None:
            raise CallFailed(_text(answer[2]))
        if answer[3] is None:
            raise CallFailed("")
        return answer[3]

    def _read(self, connection: socket.socket) -> list[Any]:
        """Read one message, in pieces of 4096 bytes as Kong does."""
        unpacker = msgpack.Unpacker(
            strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=2**31 - 1
        )
        while True:
            piece = connection.recv(4096)
            if not piece:
                raise EOFError
            unpacker.feed(piece)
            for message in unpacker:
                return list(message)

    def start_instance(self, config: dict[str, Any]) -> int:
        """Start an instance for ``config`` unless there is one, and return its id."""
        text = json.dumps(config)
        if text not in self.instances:
            started = self.call("plugin.StartInstance", {"Name": self.plugin, "Config": text})
            self.instances[text] = started["Id"]
        return self.instances[text]

    def request(
        self, request: ScriptedRequest, config: dict[str, Any], phase: str = "access"
    ) -> Outcome:
        """Run ``phase`` of the plugin for ``request`` to its end, as Kong's bridge loop does."""
        try:
            instance = self.start_instance(config)
        except (CallFailed, WrongAnswer) as error:
            return Outcome("failed", error=str(error))
        try:
            return self._bridge_loop(request, instance, phase)
        except WrongAnswer as error:
            return Outcome("failed", error=str(error))
        except CallFailed as error:
            if "no plugin instance" in str(error).lower():
                self.instances.clear()
                return self.request(request, config, phase)
            return Outcome("unplugged", error=str(error))
        except PluginLeft:
            return Outcome("passed")

    def _bridge_loop(self, request: ScriptedRequest, instance: int, phase: str) -> Outcome:
        step = self.call("plugin.HandleEvent", {"InstanceId": instance, "EventName": phase})
        event = step["EventId"]
        assert abs(event) < 2**53, "Lua's numbers would round this id"
        while step["Data"] != "ret":
            method, args = step["Data"]["Method"], step["Data"]["Args"]
            if method == "kong.response.exit":
                request.calls.append(method)
                return _exited(*args)
            kind, result = self._pdk(request, method, args)
            data = {"EventId": event}
            if result is not None:
                data["Data"] = result
            step = self.call(kind, data)
        return Outcome("passed")

    def _pdk(self, request: ScriptedRequest, method: str, args: list[Any]) -> tuple[str, Any]:
        try:
            return STEPS.get(method, "plugin.Step"), request.answer(method, args)
        except PdkError as error:
            return "plugin.StepError", str(error)


def _exited(status: int, body: Any = None, headers: dict[str, Any] | None = None) -> Outcome:
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogateescape")
    return Outcome("exited", status, body or b"", headers or {})


def _text(error: Any) -> str:
    return error if isinstance(error, str) else repr(error)


class PluginServerProcess:
    """A plugin server as Kong starts one, in a process of its own; ``log`` is what it wrote."""

    def __init__(self, prefix: Path, command: Sequence[str], socket_name: str) -> None:
        self.path = prefix / socket_name
        self.log_file = prefix / f"{socket_name}.log"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command, "--kong-prefix", str(prefix)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._await_socket()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it wrote so far."""
        return self.log_file.read_text(errors="replace")

    def _await_socket(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the plugin server ended: {self.log}")
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if self._is_mine(probe):
                    return
            time.sleep(0.01)
        raise TimeoutError(f"the plugin server does not listen: {self.log}")

    def _is_mine(self, probe: socket.socket) -> bool:
        try:
            probe.connect(str(self.path))
        except OSError:
            return False
        owner = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return bool(struct.unpack("3i", owner)[0] == self.pid)

    def resident_bytes(self) -> int:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """Kill it as the system would."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 10) -> int:
        """Ask it to end and return its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@contextlib.contextmanager
def running_plugin_server(
    prefix: Path, command: Sequence[str], socket_name: str
) -> Iterator[PluginServerProcess]:
    """Run ``command`` (arguments of the Python interpreter) as a plugin server in ``prefix``."""
    server = PluginServerProcess(prefix, command, socket_name)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()
