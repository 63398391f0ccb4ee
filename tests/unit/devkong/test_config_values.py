"""A valid kong.yml is read as Kong reads it."""

from pathlib import Path

from devkong.config.declarative import load
from devkong.config.entities import Declared
from devkong.config.schema import PluginSchema

from tests.unit.devkong.running import SCHEMAS


def declared(
    tmp_path: Path, text: str, environment: dict[str, str] | None = None, **schemas: PluginSchema
) -> Declared:
    path = tmp_path / "kong.yml"
    path.write_text('_format_version: "3.0"\n' + text)
    return load(path, {**SCHEMAS, **schemas}, environment or {})


def test_a_url_is_short_for_protocol_host_port_and_path(tmp_path: Path) -> None:
    service = declared(tmp_path, "services: [{name: s, url: 'https://a.test/x'}]").services[0]
    assert (service.protocol, service.host, service.port, service.path) == (
        "https",
        "a.test",
        443,
        "/x",
    )


def test_kongs_defaults_are_filled_in(tmp_path: Path) -> None:
    all_of_it = declared(
        tmp_path,
        "services: [{name: s, host: a.test, routes: [{name: r, paths: [/a]}]}]\n"
        "plugins: [{name: acl, config: {allow: [x]}}]",
    )
    service, route, plugin = all_of_it.services[0], all_of_it.routes[0], all_of_it.plugins[0]
    assert (service.retries, service.read_timeout, service.port) == (5, 60000, 80)
    assert (route.strip_path, route.preserve_host, route.request_buffering) == (True, False, True)
    assert plugin.config == {
        "allow": ["x"],
        "hide_groups_header": False,
        "always_use_authenticated_groups": False,
    }


def test_a_record_that_nobody_set_is_made_of_its_defaults_unless_it_need_not_be(
    tmp_path: Path,
) -> None:
    types = {"types": {"type": "array", "default": [], "elements": {"type": "string"}}}
    record = {"type": "record", "fields": [types]}
    schema = PluginSchema([{"made": record}, {"left_out": {**record, "required": False}}])
    (plugin,) = declared(tmp_path, "plugins: [{name: mine}]", mine=schema).plugins
    assert plugin.config == {"made": {"types": []}}


def test_a_plugin_knows_its_scope(tmp_path: Path) -> None:
    all_of_it = declared(
        tmp_path,
        "services: [{name: s, host: a, routes: [{name: r, paths: [/a], plugins: [{name: cors}]}]}]"
        "\nplugins: [{name: cors, service: s}]",
    )
    on_route, on_service = all_of_it.plugins
    assert on_route.config["route_id"] == on_route.route_id == all_of_it.routes[0].id
    assert on_service.config["service_id"] == all_of_it.services[0].id


def test_ids_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    text = "services: [{name: s, host: a, routes: [{name: r, paths: [/a]}]}]"
    assert declared(tmp_path, text).routes[0].id == declared(tmp_path, text).routes[0].id


def test_a_disabled_plugin_is_left_out(tmp_path: Path) -> None:
    assert declared(tmp_path, "plugins: [{name: cors, enabled: false}]").plugins == []


def test_a_secret_is_read_from_the_environment_where_the_field_allows_it(tmp_path: Path) -> None:
    reference = "{vault://env/my-secret}"
    text = (
        f"plugins: [{{name: mine, config: {{secret: '{reference}', plain: '{reference}', "
        f"keys: ['{reference}'], unset: '{{vault://env/none}}', "
        "json: '{vault://env/my-json/key}'}}]"
    )
    secret = {"type": "string", "referenceable": True}
    schema = PluginSchema(
        [
            {"secret": secret},
            {"unset": secret},
            {"json": secret},
            {"plain": {"type": "string"}},
            {"keys": {"type": "array", "elements": secret}},
            {"missing": {"type": "string"}},
        ]
    )
    environment = {"MY_SECRET": "s3cret", "MY_JSON": '{"key": "inner"}'}
    config = declared(tmp_path, text, environment, mine=schema).plugins[0].config
    assert config == {
        "secret": "s3cret",
        "unset": "",
        "json": "inner",
        "plain": reference,
        "keys": ["s3cret"],
    }
