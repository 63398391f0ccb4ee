"""The entities in kong.yml: services, routes and plugins, with Kong's schemas of them."""

from dataclasses import dataclass, field
from typing import Any

from devkong.config.schema import Fields

_NAME = {"type": "string"}
_REFERENCE = {"type": "foreign"}
_TAGS = {"type": "set", "elements": {"type": "string"}}
_METHOD = {
    "type": "string",
    "pattern": r"^[A-Z]+$",
    "pattern_says": "a method in capital letters is expected",
}
_TIMEOUT = {"type": "integer", "default": 60000, "between": [1, 2**31 - 2]}
_UUID = {
    "type": "string",
    "pattern": r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "pattern_says": "expected a valid UUID",
}
_HOST = {
    "type": "string",
    "pattern": r"^(\*\.)?[A-Za-z0-9_\-.\[\]:]+(\.\*)?$",
    "pattern_says": "invalid host",
}
_PATH = {
    "type": "string",
    "pattern": r"^(/|~)",
    "pattern_says": "should start with: / (fixed path) or ~/ (regex path)",
}


def _boolean(default: bool) -> dict[str, Any]:
    return {"type": "boolean", "default": default, "required": True}


SERVICE_FIELDS: Fields = [
    {"id": _UUID},
    {"name": _NAME},
    {"retries": {"type": "integer", "default": 5, "between": [0, 32767]}},
    {"protocol": {"type": "string", "default": "http", "one_of": ["http", "https"]}},
    {"host": {**_HOST, "required": True}},
    {"port": {"type": "integer", "default": 80, "between": [0, 65535]}},
    {"path": {"type": "string", "starts_with": "/"}},
    {"connect_timeout": _TIMEOUT},
    {"write_timeout": _TIMEOUT},
    {"read_timeout": _TIMEOUT},
    {"tags": _TAGS},
    {"tls_verify": {"type": "boolean", "default": False}},
]

ROUTE_FIELDS: Fields = [
    {"id": _UUID},
    {"name": _NAME},
    {"strip_path": _boolean(True)},
    {"preserve_host": _boolean(False)},
    {"request_buffering": _boolean(True)},
    {"response_buffering": _boolean(True)},  # devkong always streams responses
    {"tags": _TAGS},
    {"service": _REFERENCE},
    {"methods": {"type": "set", "elements": _METHOD}},
    {"hosts": {"type": "array", "elements": _HOST}},
    {"paths": {"type": "array", "elements": _PATH}},
]

PLUGIN_FIELDS: Fields = [
    {"id": _UUID},
    {"name": {"type": "string", "required": True}},
    {"instance_name": _NAME},
    {"route": _REFERENCE},
    {"service": _REFERENCE},
    {"consumer": _REFERENCE},
    {"enabled": _boolean(True)},
    {"tags": _TAGS},
]

CONSUMER_FIELDS: Fields = [
    {"id": _UUID},
    {"username": {"type": "string", "required": True}},
    {"custom_id": _NAME},
    {"tags": _TAGS},
]


@dataclass(frozen=True, eq=False)
class Service:
    """An upstream. Timeouts in milliseconds. table: the record, as plugins see it."""

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
    table: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Route:
    """A rule that sends requests to a service. table: the record, as plugins see it."""

    id: str
    name: str | None
    strip_path: bool
    preserve_host: bool
    request_buffering: bool
    methods: list[str]
    hosts: list[str]
    paths: list[str]
    service: Service | None
    table: dict[str, Any]


@dataclass(frozen=True, eq=False)
class PluginEntry:
    """One use of a plugin. config: as the running plugin sees it, with secrets resolved."""

    id: str
    name: str
    config: dict[str, Any]
    sequence: int
    route_id: str | None
    service_id: str | None
    consumer_id: str | None
    instance_name: str | None


@dataclass(frozen=True)
class Declared:
    """Everything in a kong.yml."""

    services: list[Service] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    plugins: list[PluginEntry] = field(default_factory=list)
