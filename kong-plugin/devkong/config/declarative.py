"""Reads kong.yml and reports all its errors at once, each with its line."""

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devkong.config import yaml_lines
from devkong.config.entities import (
    CONSUMER_FIELDS,
    PLUGIN_FIELDS,
    ROUTE_FIELDS,
    SERVICE_FIELDS,
    Declared,
    PluginEntry,
    Route,
    Service,
)
from devkong.config.schema import PluginSchema, process_config, process_record, resolve_references
from devkong.config.yaml_lines import Document, Place
from devkong.router import compiled

_FORMATS = ("1.1", "2.1", "3.0")
_TOP = ("_format_version", "_transform", "services", "routes", "plugins", "consumers")
_IDS = uuid.UUID("5a2cd2c5-5f4c-4a3b-9c53-3f1f3a3d6c11")


class BadConfig(Exception):
    """kong.yml has errors; the message has a line for each."""


def load(
    path: Path,
    schemas: Mapping[str, PluginSchema],
    environment: Mapping[str, str] = os.environ,
) -> Declared:
    """Read kong.yml. schemas: of the enabled plugins. Raises BadConfig, OSError."""
    try:
        document = yaml_lines.read(path)
    except yaml_lines.NotYaml as error:
        raise BadConfig(str(error)) from error
    return _Reading(document, schemas, environment).all()


class _Reading:
    def __init__(
        self,
        document: Document,
        schemas: Mapping[str, PluginSchema],
        environment: Mapping[str, str],
    ) -> None:
        self._document = document
        self._schemas = schemas
        self._environment = environment
        self._faults: list[tuple[int, str]] = []
        self._services: dict[str, Service] = {}
        self._routes: dict[str, Route] = {}
        self._consumers: dict[str, str] = {}
        self._scopes: set[tuple[str | None, ...]] = set()
        self._declared = Declared()

    def all(self) -> Declared:
        top, name = self._document.value, self._document.name
        if not isinstance(top, dict):
            raise BadConfig(f"{name}:1: expected a record with _format_version")
        if str(top.get("_format_version")) not in _FORMATS:
            self._report(("_format_version",), "_format_version: expected one of: 1.1, 2.1, 3.0")
        for field in top:
            if field not in _TOP:
                self._report((str(field),), f"{field}: unknown field, or one that devkong lacks")
        self._each("services", self._service, top)
        self._each("routes", self._route, top)
        self._each("consumers", self._consumer, top)
        self._each("plugins", self._plugin, top)
        if self._faults:
            raise BadConfig(
                "\n".join(f"{name}:{line}: {text}" for line, text in sorted(set(self._faults)))
            )
        return self._declared

    def _report(self, place: Place, text: str) -> None:
        inside = ".".join(map(str, place[:-1]))
        self._faults.append((self._document.line(place), f"{inside}: {text}" if inside else text))

    def _each(
        self, name: str, read: Any, within: dict[str, Any], place: Place = (), **inside: Any
    ) -> None:
        listed = within.get(name)
        if listed is None:
            return
        if not isinstance(listed, list):
            self._report((*place, name), f"{name}: expected an array")
            return
        for at, value in enumerate(listed):
            inner = (*place, name, at)
            if isinstance(value, dict):
                read(value, inner, **inside)
            else:
                self._report((*inner, ""), "expected a record")

    def _service(self, value: dict[str, Any], place: Place) -> None:
        plain = {k: v for k, v in value.items() if k not in ("routes", "plugins", "url")}
        if "url" in value:
            plain = {**self._url(value["url"], place), **plain}
        record = process_record(SERVICE_FIELDS, plain, place, self._report)
        service = _entity(Service, record, "service", place)
        self._declared.services.append(service)
        self._name(self._services, service, place)
        self._each("routes", self._route, value, place, service=service)
        self._each("plugins", self._plugin, value, place, service=service)

    def _url(self, url: Any, place: Place) -> dict[str, Any]:
        try:
            parts = urlsplit(url if isinstance(url, str) else "")
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if not parts.hostname:
            self._report((*place, "url"), "url: expected a URL, such as http://127.0.0.1:8285")
            return {"host": "invalid"}
        return {
            "protocol": parts.scheme,
            "host": parts.hostname,
            "port": port or (443 if parts.scheme == "https" else 80),
            "path": parts.path or None,
        }

    def _route(self, value: dict[str, Any], place: Place, service: Service | None = None) -> None:
        plain = {k: v for k, v in value.items() if k != "plugins"}
        record = process_record(ROUTE_FIELDS, plain, place, self._report)
        for at, path in enumerate(record["paths"] or []):
            if isinstance(path, str) and path.startswith("~"):
                try:
                    compiled(path)
                except re.error as error:
                    where = (*place, "paths", at)
                    self._report(where, f"invalid regex {path[1:]!r}: {error}")
        service = service or self._find(self._services, record["service"], (*place, "service"))
        record["service"] = {"id": service.id} if service else None
        route = _entity(Route, record, "route", place, service=service)
        self._declared.routes.append(route)
        self._name(self._routes, route, place)
        self._each("plugins", self._plugin, value, place, route=route)

    def _consumer(self, value: dict[str, Any], place: Place) -> None:
        record = process_record(CONSUMER_FIELDS, value, place, self._report)
        name = str(record["username"])
        for known_as in (name, record["id"] or _id("consumer", name)):
            self._consumers[known_as] = record["id"] or _id("consumer", name)

    def _plugin(
        self,
        value: dict[str, Any],
        place: Place,
        service: Service | None = None,
        route: Route | None = None,
    ) -> None:
        plain = {k: v for k, v in value.items() if k != "config"}
        record = process_record(PLUGIN_FIELDS, plain, place, self._report)
        name = record["name"]
        schema = self._schemas.get(name) if isinstance(name, str) else None
        if schema is None:
            self._report(
                (*place, "name"),
                f"plugin '{name}' not enabled (or one that devkong lacks); "
                "add it to the 'plugins' configuration property",
            )
            return
        inside = (*place, "config")
        config = process_config(schema, value.get("config") or {}, inside, self._report)
        route = route or self._find(self._routes, record["route"], (*place, "route"))
        service = service or self._find(self._services, record["service"], (*place, "service"))
        consumer = self._find(self._consumers, record["consumer"], (*place, "consumer"))
        scope = {
            "service_id": service.id if service else None,
            "route_id": route.id if route else None,
            "consumer_id": consumer,
        }
        if (name, *scope.values()) in self._scopes:
            self._report((*place, "name"), f"{name}: twice on the same scope")
        self._scopes.add((name, *scope.values()))
        if not record["enabled"] or self._faults:
            return
        # Kong tells a plugin its scope inside its config.
        own_scope = {k: v for k, v in scope.items() if v and k != "consumer_id"}
        self._declared.plugins.append(
            PluginEntry(
                id=record["id"] or _id("plugin", "/".join(map(str, (name, *scope.values())))),
                name=name,
                config=resolve_references(schema.fields, config, self._environment) | own_scope,
                sequence=len(self._declared.plugins) + 1,
                instance_name=record["instance_name"],
                **scope,
            )
        )

    def _name(self, known: dict[str, Any], entity: Any, place: Place) -> None:
        for key in (entity.name, entity.id):
            if key is not None and key in known:
                self._report((*place, "name"), f"{key}: twice in this file")
            if key is not None:
                known[key] = entity

    def _find(self, known: dict[str, Any], reference: Any, place: Place) -> Any:
        if isinstance(reference, dict):
            reference = reference.get("name") or reference.get("id") or reference.get("username")
        if reference is not None and reference not in known:
            self._report(place, f"{place[-1]}: there is no {place[-1]} {reference!r}")
        return known.get(reference)


def _entity(kind: Any, record: dict[str, Any], name: str, place: Place, **known: Any) -> Any:
    """Return the entity of a checked record, with an id that is the same at each start."""
    record["id"] = record["id"] or _id(name, record["name"] or str(place))
    table = {key: value for key, value in record.items() if value is not None}
    lists: dict[str, Any] = {}
    for several in ("methods", "hosts", "paths"):
        lists[several] = record.get(several) or []
    given = {**record, **lists, **known, "table": table}
    return kind(**{field.name: given[field.name] for field in fields(kind)})


def _id(kind: str, name: str) -> str:
    return str(uuid.uuid5(_IDS, f"{kind}:{name}"))
