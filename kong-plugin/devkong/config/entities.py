"""What kong.yml describes: services, routes and plugins, and Kong's schemas of them."""

from dataclasses import dataclass, field
from typing import Any

from devkong.config.schema import Fields

_METHOD = {
    "type": "string",
    "pattern": r"^[A-Z]+$",
    "pattern_says": "a method in capital letters is expected",
}
_TAGS = {"type": "set", "elements": {"type": "string"}}
_HTTP_PROTOCOL = {"type": "string", "one_of": ["http", "https"]}
_TIMEOUT = {"type": "integer", "default": 60000, "between": [1, 2**31 - 2]}
_UUID = {
    "type": "string",
    "pattern": r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "pattern_says": "expected a valid UUID",
}
_HOST = {
    "type": "string",
    "pattern": r"^(\*\.)?[A-Za-z0-9_\-.\[\]:]+(\.\*)?(:\d+)?$",
    "pattern_says": "invalid host",
}

SERVICE_FIELDS: Fields = [
    {"id": _UUID},
    {"name": {"type": "string"}},
    {"retries": {"type": "integer", "default": 5, "between": [0, 32767]}},
    {"protocol": {**_HTTP_PROTOCOL, "default": "http", "required": True}},
    {"host": {**_HOST, "required": True}},
    {"port": {"type": "integer", "default": 80, "between": [0, 65535], "required": True}},
    {"path": {"type": "string", "starts_with": "/"}},
    {"connect_timeout": _TIMEOUT},
    {"write_timeout": _TIMEOUT},
    {"read_timeout": _TIMEOUT},
    {"tags": _TAGS},
    {"tls_verify": {"type": "boolean"}},
    {"enabled": {"type": "boolean", "default": True, "required": True}},
]

ROUTE_FIELDS: Fields = [
    {"id": _UUID},
    {"name": {"type": "string"}},
    {
        "protocols": {
            "type": "set",
            "len_min": 1,
            "required": True,
            "default": ["http", "https"],
            "elements": _HTTP_PROTOCOL,
        }
    },
    {
        "https_redirect_status_code": {
            "type": "integer",
            "default": 426,
            "required": True,
            "one_of": [426, 301, 302, 307, 308],
        }
    },
    {"strip_path": {"type": "boolean", "default": True, "required": True}},
    {"preserve_host": {"type": "boolean", "default": False, "required": True}},
    {"request_buffering": {"type": "boolean", "default": True, "required": True}},
    {"response_buffering": {"type": "boolean", "default": True, "required": True}},
    {"tags": _TAGS},
    {"service": {"type": "foreign"}},
    {"methods": {"type": "set", "elements": _METHOD}},
    {"hosts": {"type": "array", "elements": _HOST}},
    {
        "paths": {
            "type": "array",
            "elements": {
                "type": "string",
                "pattern": r"^(/|~)",
                "pattern_says": "should start with: / (fixed path) or ~/ (regex path)",
            },
        }
    },
    {
        "headers": {
            "type": "map",
            "values": {"type": "array", "elements": {"type": "string"}},
        }
    },
    {"regex_priority": {"type": "integer", "default": 0}},
    {"path_handling": {"type": "string", "default": "v0", "one_of": ["v0"]}},
]

PLUGIN_FIELDS: Fields = [
    {"id": _UUID},
    {"name": {"type": "string", "required": True}},
    {"instance_name": {"type": "string"}},
    {"route": {"type": "foreign"}},
    {"service": {"type": "foreign"}},
    {"consumer": {"type": "foreign"}},
    {"protocols": {"type": "set", "elements": {"type": "string"}}},
    {"enabled": {"type": "boolean", "default": True, "required": True}},
    {"tags": _TAGS},
]

CONSUMER_FIELDS: Fields = [
    {"id": _UUID},
    {"username": {"type": "string"}},
    {"custom_id": {"type": "string"}},
    {"tags": _TAGS},
]


@dataclass(frozen=True, eq=False)
class Service:
    """An upstream. Timeouts in milliseconds."""

    id: str
    name: str | None
    protocol: str
    host: str
    port: int
    path: str | None
    retries: int
    connect_timeout: int
    write_timeout: int
    read_timeout: int
    tls_verify: bool
    enabled: bool
    table: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Route:
    """A rule that sends requests to a service."""

    id: str
    name: str | None
    protocols: list[str]
    https_redirect_status_code: int
    strip_path: bool
    preserve_host: bool
    request_buffering: bool
    response_buffering: bool
    methods: list[str]
    hosts: list[str]
    paths: list[str]
    headers: dict[str, list[str]]
    regex_priority: int
    service: Service | None
    table: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Consumer:
    """A known caller."""

    id: str
    username: str | None
    custom_id: str | None


@dataclass(frozen=True, eq=False)
class PluginEntry:
    """One use of a plugin. config is as a running plugin sees it, secrets resolved."""

    id: str
    name: str
    config: dict[str, Any]
    sequence: int
    route_id: str | None = None
    service_id: str | None = None
    consumer_id: str | None = None
    instance_name: str | None = None


@dataclass(frozen=True)
class Declared:
    """All that a kong.yml says."""

    services: list[Service] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    plugins: list[PluginEntry] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)
