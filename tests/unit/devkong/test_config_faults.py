"""A wrong kong.yml is refused as a whole: each fault named once, with its line."""

from pathlib import Path

import pytest
from devkong.config.declarative import BadConfig, load
from devkong.config.schema import PluginSchema

from tests.unit.devkong.running import SCHEMAS


def faults(tmp_path: Path, text: str, **schemas: PluginSchema) -> list[str]:
    path = tmp_path / "kong.yml"
    path.write_text(text)
    with pytest.raises(BadConfig) as bad:
        load(path, {**SCHEMAS, **schemas})
    return [line.removeprefix(f"{path}:") for line in str(bad.value).splitlines()]


def test_every_fault_is_named_at_once_with_its_line(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """_format_version: "3.0"
services:
  - name: s
    url: http://127.0.0.1:8285
    retires: 3
    read_timeout: soon
    routes:
      - name: r
        paths: [v1]
        strip_path: "yes"
plugins:
  - name: nonesuch
  - name: acl
    config:
      alow: [x]
upstreams: []
""",
    )
    assert found == [
        "5: services.0: retires: unknown field (did you mean retries?)",
        "6: services.0: read_timeout: expected an integer",
        "9: services.0.routes.0.paths: paths: should start with: / (fixed path) or ~/ (regex path)",
        "10: services.0.routes.0: strip_path: expected a boolean",
        "12: plugins.0: plugin 'nonesuch' not enabled (or one that devkong lacks); add it to the "
        "'plugins' configuration property",
        "15: plugins.1.config: alow: unknown field (did you mean allow?)",
        "16: upstreams: unknown field, or one that devkong lacks",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[]", "1: expected a record with _format_version"),
        ("services: []", "1: _format_version: expected one of: 1.1, 2.1, 3.0"),
        ("_format_version: '3.0'\nservices: {}", "2: services: expected an array"),
        ("_format_version: '3.0'\nservices:\n- x", "3: services.0: expected a record"),
        (
            "_format_version: '3.0'\nservices:\n- url: nowhere",
            "3: services.0: url: expected a URL, such as http://127.0.0.1:8285",
        ),
        ("_format_version: '3.0'\nservices:\n- name: s", "3: services.0: host: required"),
        ("_format_version: '3.0'\nroutes:\n- paths: ['~/(']", "3: routes.0.paths: invalid regex"),
        (
            "_format_version: '3.0'\nroutes:\n- paths: [/a]\n  service: s",
            "4: routes.0: service: there is no service 's'",
        ),
        (
            "_format_version: '3.0'\nroutes:\n- {name: a, paths: [/a]}\n- {name: a, paths: [/b]}",
            "4: routes.1: a: twice in this file",
        ),
        (
            "_format_version: '3.0'\nplugins:\n- name: cors\n- name: cors",
            "4: plugins.1: cors: twice on the same scope",
        ),
        (
            "_format_version: '3.0'\nplugins:\n- name: acl\n  config: {hide_groups_header: true}",
            "4: plugins.0.config: exactly one of these fields must be non-empty: 'config.allow', ",
        ),
        (
            "_format_version: '3.0'\nplugins:\n- name: rate-limiting\n  config:\n    minute: 0",
            "5: plugins.0.config: minute: value must be greater than 0",
        ),
        ("_format_version: '3.0\nx: [", "2: "),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, fault: str) -> None:
    found = faults(tmp_path, text)
    assert any(line.startswith(fault) for line in found), found


def test_an_external_plugins_schema_is_checked_as_kong_would(tmp_path: Path) -> None:
    schema = PluginSchema(
        [
            {"mode": {"type": "string", "required": True, "one_of": ["a", "b"]}},
            {"size": {"type": "integer", "between": [1, 5]}},
            {
                "list": {
                    "type": "array",
                    "elements": {
                        "type": "record",
                        "fields": [
                            {"issuer": {"type": "string", "required": True}},
                        ],
                    },
                }
            },
        ]
    )
    found = faults(
        tmp_path,
        """_format_version: "3.0"
plugins:
  - name: mine
    config:
      mode: c
      size: 6
      list:
        - {}
        - {issuer: x, other: y}
""",
        mine=schema,
    )
    assert found == [
        "5: plugins.0.config: mode: expected one of: a, b",
        "6: plugins.0.config: size: value should be between 1 and 5",
        "8: plugins.0.config.list.0: issuer: required field missing",
        "9: plugins.0.config.list.1: other: unknown field",
    ]
