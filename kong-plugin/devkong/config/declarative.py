"""kong.yml, checked whole: every fault is named at once, each with its line."""

import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devkong.config import yaml_lines
from devkong.config.entities import (
    CONSUMER_FIELDS,
    PLUGIN_FIELDS,
    ROUTE_FIELDS,
    SERVICE_FIELDS,
    Consumer,
    Declared,
    PluginEntry,
    Route,
    Service,
)
from devkong.config.plugin_schema import PluginSchema
from devkong.config.schema import process_record, resolve_references
from devkong.config.yaml_lines import Document, Place

_FORMATS = ("1.1", "2.1", "3.0")
_TOP = ("_format_version", "_transform", "services", "routes", "plugins", "consumers")
_IDS = uuid.UUID("5a2cd2c5-5f4c-4a3b-9c53-3f1f3a3d6c11")


class BadConfig(Exception):
    """kong.yml has faults; one line of the message for each."""


def load(
    path: Path,
    schemas: Mapping[str, PluginSchema],
    environment: Mapping[str, str] = os.environ,
) -> Declared:
    """Read kong.yml. schemas: the plugins that are enabled. Raises BadConfig, OSError."""
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
        self._declared = Declared()
        self._scopes: set[tuple[str | None, ...]] = set()

    def all(self) -> Declared:
        top = self._document.value
        if not isinstance(top, dict):
            raise BadConfig(f"{self._document.name}:1: expected a record with _format_version")
        if str(top.get("_format_version")) not in _FORMATS:
            self._report(("_format_version",), "_format_version: expected one of: 1.1, 2.1, 3.0")
        for name in top:
            if name not in _TOP:
                self._report((str(name),), f"{name}: unknown field, or one that devkong has not")
        self._each("services", self._service)
        self._each("routes", lambda value, place: self._route(value, place, None))
        self._each("consumers", self._consumer)
        self._each("plugins", lambda value, place: self._plugin(value, place, None, None))
        if self._faults:
            raise BadConfig(
                "\n".join(
                    f"{self._document.name}:{line}: {text}" for line, text in sorted(self._faults)
                )
            )
        return self._declared

    def _report(self, place: Place, text: str) -> None:
        inside = ".".join(map(str, place[:-1]))
        self._faults.append((self._document.line(place), f"{inside}: {text}" if inside else text))

    def _each(self, name: str, read: Any, within: Any = None, place: Place = ()) -> None:
        listed = (self._document.value if within is None else within).get(name)
        if listed is None:
            return
        if not isinstance(listed, list):
            self._report((*place, name), f"{name}: expected an array")
            return
        for at, value in enumerate(listed):
            inner = (*place, name, at)
            if isinstance(value, dict):
                read(value, inner)
            else:
                self._report((*inner, ""), "expected a record")

    def _service(self, value: dict[str, Any], place: Place) -> None:
        plain = {k: v for k, v in value.items() if k not in ("routes", "plugins", "url")}
        if "url" in value:
            plain = {**self._url(value["url"], place), **plain}
        record = process_record(SERVICE_FIELDS, plain, place, self._report)
        record["id"] = record["id"] or _id("service", record["name"] or str(place))
        service = Service(
            table=_without_nulls(record),
            tls_verify=bool(record["tls_verify"]),
            **{k: v for k, v in record.items() if k not in ("tags", "tls_verify")},
        )
        self._declared.services.append(service)
        self._name(self._services, record, service, place)
        self._each("routes", lambda v, p: self._route(v, p, service), value, place)
        self._each("plugins", lambda v, p: self._plugin(v, p, service, None), value, place)

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

    def _route(self, value: dict[str, Any], place: Place, service: Service | None) -> None:
        plain = {k: v for k, v in value.items() if k != "plugins"}
        record = process_record(ROUTE_FIELDS, plain, place, self._report)
        if service is None and record["service"] is not None:
            service = self._find(self._services, record["service"], (*place, "service"))
        record["id"] = record["id"] or _id("route", record["name"] or str(place))
        record["service"] = {"id": service.id} if service else None
        for at, path in enumerate(record["paths"] or []):
            self._check_regex(path, (*place, "paths", at))
        table = _without_nulls(record)
        for several in ("methods", "hosts", "paths"):
            record[several] = record[several] or []
        record["headers"] = record["headers"] or {}
        kept = {k: v for k, v in record.items() if k not in ("tags", "service", "path_handling")}
        route = Route(table=table, service=service, **kept)
        self._declared.routes.append(route)
        self._name(self._routes, record, route, place)
        self._each("plugins", lambda v, p: self._plugin(v, p, None, route), value, place)

    def _check_regex(self, path: Any, place: Place) -> None:
        if isinstance(path, str) and path.startswith("~"):
            try:
                re.compile(path[1:].replace("?<", "?P<"))
            except re.error as error:
                self._report(place, f"invalid regex {path[1:]!r}: {error}")

    def _consumer(self, value: dict[str, Any], place: Place) -> None:
        record = process_record(CONSUMER_FIELDS, value, place, self._report)
        if not record["username"] and not record["custom_id"]:
            self._report((*place, "username"), "at least one of these fields: custom_id, username")
        known_as = record["username"] or record["custom_id"] or str(place)
        self._declared.consumers.append(
            Consumer(
                record["id"] or _id("consumer", known_as), record["username"], record["custom_id"]
            )
        )

    def _plugin(
        self, value: dict[str, Any], place: Place, service: Service | None, route: Route | None
    ) -> None:
        plain = {k: v for k, v in value.items() if k != "config"}
        record = process_record(PLUGIN_FIELDS, plain, place, self._report)
        name = record["name"]
        if not isinstance(name, str):
            return
        schema = self._schemas.get(name)
        if schema is None:
            self._report(
                (*place, "name"),
                f"plugin '{name}' not enabled (or one that devkong has not); "
                "add it to the 'plugins' configuration property",
            )
            return
        inside = (*place, "config")
        config = process_record(schema.fields, value.get("config") or {}, inside, self._report)
        for where, text in schema.check(config) if not self._faults else ():
            self._report((*inside, where), text)
        if route is None and record["route"] is not None:
            route = self._find(self._routes, record["route"], (*place, "route"))
        if service is None and record["service"] is not None:
            service = self._find(self._services, record["service"], (*place, "service"))
        consumer = record["consumer"]
        if isinstance(consumer, dict):
            consumer = consumer.get("id") or consumer.get("username")
        consumers = {
            key: each.id for each in self._declared.consumers for key in (each.id, each.username)
        }
        if consumer is not None and consumer not in consumers:
            self._report((*place, "consumer"), f"consumer: there is no consumer {consumer!r}")
        self._add_plugin(record, schema, config, service, route, consumers.get(consumer), place)

    def _add_plugin(
        self,
        record: dict[str, Any],
        schema: PluginSchema,
        config: dict[str, Any],
        service: Service | None,
        route: Route | None,
        consumer_id: str | None,
        place: Place,
    ) -> None:
        scope = (
            str(record["name"]),
            service.id if service else None,
            route.id if route else None,
            consumer_id,
        )
        if scope in self._scopes:
            self._report((*place, "name"), f"{record['name']}: twice on the same scope")
        self._scopes.add(scope)
        if not record["enabled"] or self._faults:
            return
        self._declared.plugins.append(
            PluginEntry(
                id=record["id"] or _id("plugin", "/".join(map(str, scope))),
                name=record["name"],
                config={
                    **resolve_references(schema.fields, config, self._environment),
                    **_scope_fields(service, route),
                },
                sequence=len(self._declared.plugins) + 1,
                route_id=route.id if route else None,
                service_id=service.id if service else None,
                consumer_id=consumer_id,
                instance_name=record["instance_name"],
            )
        )

    def _name(self, known: dict[str, Any], record: dict[str, Any], it: Any, place: Place) -> None:
        for key in (record["name"], record["id"]):
            if key is not None and key in known:
                self._report((*place, "name"), f"{key}: twice in this file")
            if key is not None:
                known[key] = it

    def _find(self, known: dict[str, Any], reference: Any, place: Place) -> Any:
        if isinstance(reference, dict):
            reference = reference.get("name") or reference.get("id")
        found = known.get(reference)
        if found is None:
            self._report(place, f"{place[-1]}: there is no {place[-1]} {reference!r}")
        return found


def _scope_fields(service: Service | None, route: Route | None) -> dict[str, str]:
    # Kong tells a plugin its scope inside its config
    return {
        **({"route_id": route.id} if route else {}),
        **({"service_id": service.id} if service else {}),
    }


def _id(kind: str, name: str) -> str:
    return str(uuid.uuid5(_IDS, f"{kind}:{name}"))


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}
