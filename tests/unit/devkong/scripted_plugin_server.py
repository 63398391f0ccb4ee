"""A plugin server on a real socket that does exactly what a test says, right or wrong."""

import json
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack

Event = Generator[tuple[str, list[Any]], Any, None]
FIELDS: list[dict[str, Any]] = [
    {"word": {"type": "string", "default": "hello"}},
    {"secret": {"type": "string", "referenceable": True}},
]


class Stuck(Exception):
    """Raised by an event that never answers."""


class ScriptedPluginServer:
    """Runs `script(config)` for each event: a generator that yields (PDK method, arguments)."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "scripted.sock")
        self.script: Callable[[dict[str, Any]], Event] = lambda _config: _nothing()
        self.refuses_to_start: str | None = None
        self.message_id_offset = 0
        self.message_error: str | None = None
        self.methods: list[str] = []
        self.connections = 0
        self.instances: dict[int, dict[str, Any]] = {}
        self.release = threading.Event()
        self.stuck_on: socket.socket | None = None
        self._next = 0
        self._events: dict[int, Event] = {}
        dump = folder / "dump.json"
        schema = {"name": "scripted", "fields": [{"config": {"type": "record", "fields": FIELDS}}]}
        info = {
            "Name": "scripted",
            "Priority": 1100,
            "Version": "1",
            "Phases": ["access"],
            "Schema": schema,
        }
        dump.write_text(json.dumps([info]))
        self.environment = {
            "KONG_PLUGINS": "bundled,scripted",
            "KONG_PLUGINSERVER_NAMES": "scripted",
            "KONG_PLUGINSERVER_SCRIPTED_SOCKET": self.socket,
            "KONG_PLUGINSERVER_SCRIPTED_QUERY_CMD": f"cat {dump}",
            "KONG_NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT": "300ms",
        }

    def answer(self, message_id: int, method: str, argument: Any) -> list[Any]:
        """Answer one call."""
        self.methods.append(method)
        message_id += self.message_id_offset
        if method == "plugin.StartInstance":
            if self.refuses_to_start:
                return [1, message_id, self.refuses_to_start, None]
            self._next += 1
            self.instances[self._next] = json.loads(argument["Config"])
            return [1, message_id, None, {"Id": self._next, "Name": "scripted", "Config": {}}]
        if method == "plugin.HandleEvent":
            config = self.instances.get(argument["InstanceId"])
            if config is None:
                return [1, message_id, f"no plugin instance #{argument['InstanceId']}", None]
            self._next += 1
            self._events[self._next] = self.script(config)
            return self._advance(message_id, self._next, None)
        if self.message_error:
            return [1, message_id, self.message_error, None]
        return self._advance(message_id, argument["EventId"], argument.get("Data"))

    def another_call_waits(self) -> bool:
        """Say whether a call has come on the connection that is stuck."""
        assert self.stuck_on is not None
        return bool(select.select([self.stuck_on], [], [], 0)[0])

    def _advance(self, message_id: int, event_id: int, value: Any) -> list[Any]:
        try:
            name, args = self._events[event_id].send(value)
            data: Any = {"Method": name, "Args": args}
        except StopIteration:
            data = "ret"
        return [1, message_id, None, {"EventId": event_id, "Data": data}]


def _nothing() -> Event:
    yield from ()


@contextmanager
def scripted(folder: Path) -> Iterator[ScriptedPluginServer]:
    """Run a scripted plugin server."""
    plugin_server = ScriptedPluginServer(folder)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            plugin_server.connections += 1
            unpacker = msgpack.Unpacker(
                strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=2**27
            )
            while data := self.request.recv(65536):
                unpacker.feed(data)
                for _, message_id, method, args in unpacker:
                    try:
                        answer = plugin_server.answer(message_id, method, args[0])
                    except Stuck:
                        plugin_server.stuck_on = self.request
                        plugin_server.release.wait(10)
                        answer = [1, message_id, "stuck", None]
                    packed = msgpack.packb(answer, unicode_errors="surrogateescape")
                    self.request.sendall(packed)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        block_on_close = False

    with Server(plugin_server.socket, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield plugin_server
        finally:
            plugin_server.release.set()
            server.shutdown()
            thread.join()
