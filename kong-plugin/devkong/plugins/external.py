"""An external plugin, run as in Kong: instances start on demand, events are stepped to their end.

If the plugin server does not answer, the request goes on as if the plugin were not there: it
fails open, exactly as in Kong.
"""

import asyncio
import json
import logging
from collections import defaultdict
from typing import Any

from devkong.config.entities import PluginEntry
from devkong.exchange import Exchange
from devkong.lua.runtime import Lua, LuaFailed, text
from devkong.plugins.chain import Plugin
from devkong.plugins.process import PluginInfo
from devkong.plugins.rpc import PluginServerClient, RpcError

_log = logging.getLogger("devkong.pluginserver")

_STEP = {
    "kong.client.get_credential": "plugin.StepCredential",
    "kong.client.get_consumer": "plugin.StepConsumer",
    "kong.client.authenticate": "plugin.StepCredential",
    "kong.router.get_route": "plugin.StepRoute",
    "kong.router.get_service": "plugin.StepService",
    "kong.request.get_headers": "plugin.StepMultiMap",
    "kong.response.get_headers": "plugin.StepMultiMap",
}
_CLAIM_SECONDS = 10.0


class ExternalPlugin(Plugin):
    """The plugin of a plugin server. read_timeout: seconds to wait for an answer."""

    def __init__(self, info: PluginInfo, lua: Lua, read_timeout: float) -> None:
        super().__init__(info.name, info.priority, {"access"})
        self._lua = lua
        self._client = PluginServerClient(info.server.socket, read_timeout)
        self._instances: dict[str, Any] = {}
        self._starting: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def access(self, exchange: Exchange, entry: PluginEntry) -> None:
        """Run an event to its end.

        Raises ResponseExit if the plugin answers, PluginLeft if a Lua function that it calls
        yields, LuaFailed and RpcBroken where Lua would raise an error, RpcError if an instance
        cannot be started. Any other failure of the plugin server is only logged.
        """
        while True:
            instance_id = await self._instance_id(entry)
            if instance_id is None:
                return
            try:
                await self._step_through(exchange, instance_id)
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
        """Return the id of a config's instance, None if another request is slow to start it."""
        try:
            await asyncio.wait_for(self._starting[entry.id].acquire(), _CLAIM_SECONDS)
        except TimeoutError:
            _log.error("Could not claim instance_id for %s", self.name)
            return None
        try:
            if entry.id not in self._instances:
                start = {"Name": self.name, "Config": _config_json(entry)}
                started = await self._client.call("plugin.StartInstance", start)
                self._instances[entry.id] = started[b"Id"]
            return self._instances[entry.id]
        finally:
            self._starting[entry.id].release()

    async def _step_through(self, exchange: Exchange, instance_id: Any) -> None:
        event = {"InstanceId": instance_id, "EventName": "access"}
        step = await self._client.call("plugin.HandleEvent", event)
        event_id = step[b"EventId"]
        while step[b"Data"] != b"ret":
            method = step[b"Data"][b"Method"]
            args = step[b"Data"].get(b"Args")
            result = await self._call(exchange, method, args if isinstance(args, list) else [args])
            answer = {"EventId": event_id, **({} if result is None else {"Data": result})}
            step = await self._client.call(_STEP.get(method.decode(), "plugin.Step"), answer)

    async def _call(self, exchange: Exchange, method: bytes, args: list[Any]) -> Any:
        """Call a function of the PDK, and return the first of its results."""
        arguments = [self._lua.table(argument) for argument in args]
        result = await self._lua.access(exchange, self._lua.call, method, *arguments)
        if method == b"kong.request.get_raw_body":
            if result is None:
                raise LuaFailed("bad argument: nil is packed as binary")
            return result
        if _STEP.get(method.decode()) == "plugin.StepMultiMap" and isinstance(result, dict):
            lists = {name: v if isinstance(v, list) else [v] for name, v in result.items()}
            return text(lists)
        return text(result)


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
