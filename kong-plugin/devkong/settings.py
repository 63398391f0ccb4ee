"""Reads the settings from Kong's own variables, KONG_*."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SECONDS = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0}
_FIRST_HEAD_BUFFER = 1024  # client_header_buffer_size


class BadSettings(Exception):
    """Some settings are wrong; the message has a line for each."""


class PluginServerSettings(NamedTuple):
    """The commands that query and start a plugin server. start: None if Kong does not start it."""

    name: str
    socket: str
    query: str
    start: str | None


class Listen(NamedTuple):
    """The address on which to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class HeadLimits(NamedTuple):
    """nginx's large_client_header_buffers: their number, and the bytes of each."""

    buffers: int = 4
    size: int = 8 * 1024

    @property
    def whole(self) -> int:
        """The largest head, in bytes."""
        return _FIRST_HEAD_BUFFER + self.buffers * self.size


@dataclass(frozen=True)
class Settings:
    """All settings outside kong.yml. Sizes in bytes, times in seconds."""

    config: Path
    prefix: Path
    listen: Listen
    plugins: list[str]
    lua_package_path: str
    plugin_servers: list[PluginServerSettings]
    error_template_json: Path | None
    error_default_type: str
    socket_read_timeout: float
    client_body_buffer_size: int
    client_max_body_size: int
    head_limits: HeadLimits


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read KONG_*. Raises BadSettings."""
    reader = _Reader(environment)
    prefix = Path(reader.text("PREFIX", "var/kong"))
    settings = Settings(
        config=Path(reader.text("DECLARATIVE_CONFIG", "kong.yml")),
        prefix=prefix,
        listen=reader.listen(),
        plugins=reader.words("PLUGINS", "bundled"),
        lua_package_path=reader.text("LUA_PACKAGE_PATH", ""),
        plugin_servers=reader.plugin_servers(prefix),
        error_template_json=reader.file("ERROR_TEMPLATE_JSON"),
        error_default_type=reader.text("ERROR_DEFAULT_TYPE", "text/plain"),
        socket_read_timeout=reader.seconds("NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT", "60s"),
        client_body_buffer_size=reader.size("NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE", "8k"),
        client_max_body_size=reader.size("NGINX_HTTP_CLIENT_MAX_BODY_SIZE", "0"),
        head_limits=reader.head_limits("NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS", "4 8k"),
    )
    if reader.faults:
        raise BadSettings("\n".join(reader.faults))
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.faults: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self._environment.get(f"KONG_{name}", "").strip() or default

    def words(self, name: str, default: str) -> list[str]:
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def file(self, name: str) -> Path | None:
        path = self.text(name, "")
        if path and not Path(path).is_file():
            self._fault(name, f"there is no file {path}")
            return None
        return Path(path) if path else None

    def size(self, name: str, default: str) -> int:
        value = self.text(name, default).lower()
        match = re.fullmatch(r"(\d+)([kmg]?)", value)
        if not match:
            self._fault(name, f"{value!r} is not a size such as 8k")
            return 0
        return int(match[1]) * _SIZES[match[2]]

    def head_limits(self, name: str, default: str) -> HeadLimits:
        match = re.fullmatch(r"(\d+)\s+(\d+)([kmg]?)", self.text(name, default).lower())
        if not match:
            self._fault(name, "must be a number and a size, such as 4 8k")
            return HeadLimits()
        return HeadLimits(int(match[1]), int(match[2]) * _SIZES[match[3]])

    def seconds(self, name: str, default: str) -> float:
        value = self.text(name, default)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", value)
        if not match:
            self._fault(name, f"{value!r} is not a time such as 60s")
            return 0.0
        return float(match[1]) * _SECONDS[match[2]]

    def listen(self) -> Listen:
        value = self.text("PROXY_LISTEN", "127.0.0.1:8000")
        match = re.fullmatch(r"([^\s,]+):(\d{1,5})( (?!ssl)[^\s,]+)*", value)
        if not match:
            self._fault("PROXY_LISTEN", f"{value!r} is not one host:port, without TLS")
            return Listen("", 0)
        return Listen(match[1].strip("[]"), int(match[2]))

    def plugin_servers(self, prefix: Path) -> list[PluginServerSettings]:
        servers = []
        for name in self.words("PLUGINSERVER_NAMES", ""):
            key = f"PLUGINSERVER_{name.upper().replace('-', '_')}"
            query = self.text(f"{key}_QUERY_CMD", "")
            if not query:
                self._fault(f"{key}_QUERY_CMD", "is needed")
            socket = self.text(f"{key}_SOCKET", str(prefix / f"{name}.socket"))
            start = self.text(f"{key}_START_CMD", "") or None
            servers.append(PluginServerSettings(name, socket, query, start))
        return servers

    def _fault(self, name: str, what: str) -> None:
        self.faults.append(f"KONG_{name}: {what}")
