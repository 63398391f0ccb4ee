"""An external plugin as Kong runs it: instances started on demand, events stepped to their end.

When the plugin server does not answer, the request goes on as if the plugin were not there: it
fails open, exactly as in Kong.
"""

import asyncio
import json
import logging
import re
from dataclasses import dataclass
from typing import Any

from devkong.config.entities import PluginEntry
from devkong.exchange import Exchange
from devkong.lua.runtime import the_runtime
from devkong.lua.tables import is_table, plain
from devkong.pdk.errors import Failure, PdkError
from devkong.pdk.table import FUNCTIONS, READS_BODY
from devkong.pdk.values import to_json_like
from devkong.plugin_server.process import PluginInfo
from devkong.plugin_server.rpc import PluginServerClient, RpcError

_log = logging.getLogger("devkong.pluginserver")

_STEP = {
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
_MULTI_MAPS = frozenset(
    {"kong.request.get_query", "kong.request.get_headers", "kong.response.get_headers"}
)
_RAW = frozenset({"kong.request.get_raw_body"})
_CLAIM_STEP_SECONDS = 0.1
_CLAIM_STEPS = 100


@dataclass
class _Instance:
    sequence: int
    id: Any = None


class ExternalPlugin:
    """One plugin of a plugin server."""

    def __init__(self, info: PluginInfo, read_timeout: float) -> None:
        self.name = info.name
        self.priority = info.priority
        self.phases = frozenset(info.phases)
        self._client = PluginServerClient(info.server.socket, read_timeout, self._notified)
        self._instances: dict[str, _Instance] = {}
        self._server_pid: int | None = None
        self._lua_functions: dict[str, Any] = {}
        """Kong keeps the first that it finds under a name for as long as its worker lives."""

    async def access(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Run the access phase."""
        await self.handle_event(exchange, entry, "access")

    async def rewrite(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Run the rewrite phase."""
        await self.handle_event(exchange, entry, "rewrite")

    async def log(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Run the log phase."""
        await self.handle_event(exchange, entry, "log")

    async def handle_event(self, exchange: Exchange, entry: PluginEntry, phase: str) -> None:
        """Run a phase to its end.

        Raises ResponseExit when the plugin answers, PluginLeft when Lua that it calls yields,
        PdkError, LuaFailed and RpcBroken where Lua would
        raise an error, RpcError when an instance cannot be started. Every other failure of the
        plugin server is logged and no more.
        """
        while True:
            instance_id = await self._instance_id(entry)
            if instance_id is None:
                return
            try:
                await self._step_through(exchange, instance_id, phase)
                return
            except RpcError as error:
                if "no plugin instance" not in str(error).lower():
                    _log.error("[%s] %s", self.name, error)
                    return
                _log.warning("[%s] %s", self.name, error)
                self._instances.clear()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def _instance_id(self, entry: PluginEntry) -> Any:
        key = entry.id
        instance = self._instances.get(key)
        steps = 0
        while instance and instance.id is None:
            # another request is starting it
            await asyncio.sleep(_CLAIM_STEP_SECONDS)
            steps += 1
            if steps > _CLAIM_STEPS:
                self._instances.pop(key, None)
                _log.error("Could not claim instance_id for %s (key: %s)", self.name, key)
                return None
            instance = self._instances.get(key)
        if instance:
            return instance.id
        instance = self._instances[key] = _Instance(entry.sequence)
        try:
            started = await self._client.call(
                "plugin.StartInstance", {"Name": self.name, "Config": _config_json(entry)}
            )
        except BaseException as error:
            _log.error("starting instance: %s", error)
            self._instances.pop(key, None)
            raise
        instance.id = started[b"Id"]
        return instance.id

    async def _step_through(self, exchange: Exchange, instance_id: Any, phase: str) -> None:
        step = await self._client.call(
            "plugin.HandleEvent", {"InstanceId": instance_id, "EventName": phase}
        )
        event_id = step[b"EventId"]
        while step[b"Data"] != b"ret":
            method = step[b"Data"][b"Method"].decode("latin-1")
            result = await self._call(exchange, phase, method, step[b"Data"].get(b"Args"))
            answer = {"EventId": event_id}
            if result is not None:
                answer["Data"] = result
            step = await self._client.call(_STEP.get(method, "plugin.Step"), answer)

    async def _call(self, exchange: Exchange, phase: str, method: str, args: Any) -> Any:
        args = args if isinstance(args, list) else [args]
        if method in FUNCTIONS:
            return await _call_pdk(exchange, method, args)
        function = self._lua_functions.get(method) or _lua_function(exchange, method)
        if function is None:
            _log.error("could not find pdk method: %s", method)
            return None
        self._lua_functions[method] = function
        leaves = phase == "access"
        return to_json_like(await the_runtime().run(function, exchange, *args, yield_leaves=leaves))

    def _notified(self, label: Any, argument: Any) -> None:
        if label == b"serverPid":
            pid = int(argument)
            if self._server_pid is not None and pid != self._server_pid:
                self._instances.clear()
            self._server_pid = pid


def _lua_function(exchange: Exchange, method: str) -> Any:
    """Return what Kong finds for a name that the PDK lacks: it looks in the request's tables, too.

    Only those of ``kong.ctx.shared`` are here. After kong/runloop/plugin_servers/rpc/util.lua.
    """
    path = re.findall(r"\w+", method)
    if path[:3] != ["kong", "ctx", "shared"]:
        return None
    found: Any = exchange.shared
    for name in path[3:]:
        if not isinstance(found, dict) and not is_table(found):
            return None
        found = dict(found.items()).get(name.encode())
    return found


async def _call_pdk(exchange: Exchange, method: str, args: list[Any]) -> Any:
    function = FUNCTIONS[method]
    if method in READS_BODY:
        await exchange.body.read_whole()
    try:
        result = function(exchange, *args)
    except TypeError as error:
        # Lua drops arguments that are too many; the kit's checks raise PdkError by themselves
        raise PdkError(f"{method}: {error}") from error
    if isinstance(result, Failure):
        # only the first of Lua's two values comes back, and it is nil
        result = None
    if method in _MULTI_MAPS:
        return {key: _many(value) for key, value in to_json_like(result).items()}
    if method in _RAW:
        if result is None:
            raise PdkError("bad argument: nil is packed as binary")
        return result
    return to_json_like(plain(result))


def _many(value: Any) -> Any:
    if value is True:
        return []
    return [value] if isinstance(value, str) else value


def _config_json(entry: PluginEntry) -> str:
    return json.dumps(
        {
            **entry.config,
            "__key__": f"plugins:{entry.name}:{entry.route_id or ''}:{entry.service_id or ''}:::",
            "__seq__": entry.sequence,
            "__plugin_id": entry.id,
            **({"plugin_instance_name": entry.instance_name} if entry.instance_name else {}),
        }
    )
