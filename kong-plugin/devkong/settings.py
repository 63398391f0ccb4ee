"""Settings: Kong's own variables, KONG_*, and the flags of `devkong start`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devkong.http.server import AS_NGINX_COMES, HeadLimits

_SIZES = {"k": 1024, "m": 1024**2, "g": 1024**3}
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0}


class BadSettings(Exception):
    """Settings are wrong; one line of the message for each."""


@dataclass(frozen=True)
class PluginServerSettings:
    """How one external plugin server is asked and started. start: None if others run it."""

    name: str
    socket: str
    query: str
    start: str | None


@dataclass(frozen=True)
class Listen:
    """Where clients connect: a TCP address, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    unix: str | None = None

    def __str__(self) -> str:
        if self.unix:
            return f"unix:{self.unix}"
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    """Everything apart from kong.yml. Sizes in bytes, times in seconds."""

    config: Path
    prefix: Path
    listen: tuple[Listen, ...] = (Listen("127.0.0.1", 8000),)
    plugins: tuple[str, ...] = ("bundled",)
    lua_package_path: str = ""
    plugin_servers: tuple[PluginServerSettings, ...] = ()
    error_templates: Mapping[str, Path] = field(default_factory=dict)
    error_default_type: str = "text/plain"
    socket_read_timeout: float = 60.0
    client_body_buffer_size: int = 8192
    client_max_body_size: int = 0
    head_limits: HeadLimits = AS_NGINX_COMES
    trusted_ips: tuple[str, ...] = ()


def from_environment(environment: Mapping[str, str], **flags: str | None) -> Settings:
    """Read KONG_*; flags named like the variables without KONG_ win. Raises BadSettings."""
    faults: list[str] = []
    reader = _Reader({**environment, **_as_variables(flags)}, faults)
    prefix = Path(reader.text("PREFIX", "var/kong"))
    settings = Settings(
        config=Path(reader.text("DECLARATIVE_CONFIG", "kong.yml")),
        prefix=prefix,
        listen=tuple(reader.listen()),
        plugins=tuple(reader.words("PLUGINS", "bundled")),
        lua_package_path=reader.text("LUA_PACKAGE_PATH", ""),
        plugin_servers=tuple(reader.plugin_servers(prefix)),
        error_templates={
            kind: Path(reader.text(f"ERROR_TEMPLATE_{kind.upper()}", ""))
            for kind in ("json", "html", "plain", "xml")
            if reader.text(f"ERROR_TEMPLATE_{kind.upper()}", "")
        },
        error_default_type=reader.text("ERROR_DEFAULT_TYPE", "text/plain"),
        socket_read_timeout=reader.seconds(
            ("LUA_SOCKET_READ_TIMEOUT", "NGINX_HTTP_LUA_SOCKET_READ_TIMEOUT"), 60.0
        ),
        client_body_buffer_size=reader.size("NGINX_HTTP_CLIENT_BODY_BUFFER_SIZE", 8192),
        client_max_body_size=reader.size("NGINX_HTTP_CLIENT_MAX_BODY_SIZE", 0),
        head_limits=reader.buffers("NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS", AS_NGINX_COMES),
        trusted_ips=tuple(reader.words("TRUSTED_IPS", "")),
    )
    for kind, path in settings.error_templates.items():
        if not path.is_file():
            faults.append(f"KONG_ERROR_TEMPLATE_{kind.upper()}: there is no file {path}")
    if reader.text("UNTRUSTED_LUA", "sandbox") != "sandbox":
        faults.append("KONG_UNTRUSTED_LUA: devkong runs Lua in the sandbox only")
    if faults:
        raise BadSettings("\n".join(faults))
    return settings


def _as_variables(flags: Mapping[str, str | None]) -> dict[str, str]:
    return {f"KONG_{name.upper()}": value for name, value in flags.items() if value is not None}


def _bytes_of(size: str) -> int:
    unit = size[-1].lower()
    return int(size[:-1]) * _SIZES[unit] if unit in _SIZES else int(size)


class _Reader:
    def __init__(self, environment: Mapping[str, str], faults: list[str]) -> None:
        self._environment = environment
        self._faults = faults

    def text(self, name: str, default: str) -> str:
        return self._environment.get(f"KONG_{name}", "").strip() or default

    def words(self, name: str, default: str) -> list[str]:
        return [word.strip() for word in self.text(name, default).split(",") if word.strip()]

    def size(self, name: str, default: int) -> int:
        value = self.text(name, str(default)).lower()
        match = re.fullmatch(r"(\d+)([kmg]?)", value)
        if not match:
            self._faults.append(f"KONG_{name}: {value!r} is no size, such as 8k")
            return default
        return _bytes_of(value)

    def buffers(self, name: str, default: HeadLimits) -> HeadLimits:
        number, _, size = self.text(name, f"{default.buffers} {default.size}").partition(" ")
        if not number.isdigit() or not re.fullmatch(r"\d+[kmg]?", size.strip(), re.IGNORECASE):
            self._faults.append(f"KONG_{name}: must be a number and a size, such as 4 8k")
            return default
        return HeadLimits(int(number), _bytes_of(size.strip()))

    def seconds(self, names: tuple[str, ...], default: float) -> float:
        for name in names:
            value = self.text(name, "")
            match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", value)
            if match:
                return float(match[1]) * _SECONDS[match[2] or ""]
            if value:
                self._faults.append(f"KONG_{name}: {value!r} is no time, such as 60s")
        return default

    def listen(self) -> list[Listen]:
        listens = []
        for entry in self.words("PROXY_LISTEN", "127.0.0.1:8000"):
            address, *options = entry.split()
            host, _, port = address.rpartition(":")
            if "ssl" in options:
                self._faults.append(f"KONG_PROXY_LISTEN: devkong has no TLS listener: {entry!r}")
            elif address.startswith("unix:"):
                listens.append(Listen(unix=address.removeprefix("unix:")))
            elif host and port.isdigit() and int(port) < 65536:
                listens.append(Listen(host.strip("[]"), int(port)))
            else:
                self._faults.append(f"KONG_PROXY_LISTEN: {entry!r} is not host:port")
        return listens

    def plugin_servers(self, prefix: Path) -> list[PluginServerSettings]:
        servers = []
        for name in self.words("PLUGINSERVER_NAMES", ""):
            key = f"PLUGINSERVER_{name.upper().replace('-', '_')}"
            query = self.text(f"{key}_QUERY_CMD", "")
            if not query:
                self._faults.append(f"KONG_{key}_QUERY_CMD: is needed")
            servers.append(
                PluginServerSettings(
                    name,
                    self.text(f"{key}_SOCKET", str(prefix / f"{name}.socket")),
                    query,
                    self.text(f"{key}_START_CMD", "") or None,
                )
            )
        return servers
