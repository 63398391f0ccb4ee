"""Reading a configuration, and reporting a wrong one."""

from typing import Any

import pytest
from jan_media_plugin.config import Issuer, Schema, read_config
from jan_media_plugin.fit import Fit
from jan_media_plugin.schema import ConfigError, Field, schema_of

from tests.unit.plugin.conftest import Config, filled

SECRET = "not to be told: 0123456789abcdef"


def problems(config: Config) -> str:
    with pytest.raises(ConfigError) as error:
        read_config(config)
    return str(error.value)


def with_issuer(**changes: Any) -> Config:
    return {"issuers": [{"issuer": "https://i", "jwks_url": "https://i/jwks", **changes}]}


def test_nulls_and_missing_fields_mean_the_defaults_of_the_schema() -> None:
    assert read_config({}) == read_config(filled({}))
    assert read_config({}).places[0] == "image_url.url"


def test_an_empty_lua_table_is_an_empty_list() -> None:
    config = read_config({**with_issuer(audience={}), "never_below": {}})
    assert config.never_below == ()
    assert config.issuers[0].audience == ()
    assert read_config({"issuers": {}}).issuers == ()


def test_what_kong_adds_is_ignored() -> None:
    assert read_config({"__seq__": 3, "__plugin_id": "x"}) == read_config({})


def test_whole_numbers_may_have_passed_through_lua() -> None:
    assert read_config({"max_ids": 7.0}).max_ids == 7


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"auth": "sometimes"}, "Invalid enum value 'sometimes' - at `$.auth`"),
        ({"max_ids": 1.5}, "Expected `int`, got `float` - at `$.max_ids`"),
        ({"max_ids": True}, "Expected `int`, got `bool` - at `$.max_ids`"),
        ({"resolve": "yes"}, "Expected `bool`, got `str` - at `$.resolve`"),
        ({"places": "image_url"}, "Expected `array`, got `str` - at `$.places`"),
        ({"places": ["a..b"]}, "places: 'a..b' is not a path"),
        ({"api_keys": False}, "auth needs issuers or api_keys"),
        ({"sidecar_url": "127.0.0.1:8286"}, "sidecar_url must be"),
        ({"sidecar_url": "http://[::1"}, "sidecar_url must be"),
        ({"grant_group": ""}, "grant_group must not be empty"),
        ({"gateway_secret": "secret\n"}, "gateway_secret has control characters"),
        ({"upstream_authorization": ""}, "upstream_authorization is empty"),
        ({"user_header": "x-jan-issuer"}, "must differ"),
        ({"issuers": ["x"]}, "Expected `object`, got `str` - at `$.issuers[0]`"),
        ({"issuers": [{}]}, "missing required field `issuer` - at `$.issuers[0]`"),
        (with_issuer(jwks_url=None), "needs exactly one of jwks_url, discovery_url, secret"),
        (with_issuer(secret=SECRET), "needs exactly one of"),
        (with_issuer(jwks_url=None, secret=SECRET), "HS256, HS384 or HS512 only"),
        (with_issuer(jwks_url=None, secret="short", algorithms=["HS256"]), "at least 32 bytes"),
        (with_issuer(issuer="https://" + "i" * 761), "issuer must have at most 768 bytes"),
        (with_issuer(algorithms=["HS256"]), "must not name HS*"),
        (with_issuer(algorithms=["none"]), "'none' - at `$.issuers[0].algorithms[0]`"),
        (with_issuer(algorithms=[]), "algorithms must name at least one"),
        (with_issuer(jwks_url=None, public_key="PEM"), "public_key must be a public key"),
        (with_issuer(jwks_url="file:///etc/passwd"), "jwks_url must be an http"),
        ({"issuers": with_issuer()["issuers"] * 2}, "two have the same issuer"),
    ],
)
def test_a_wrong_field_is_named(config: Config, named: str) -> None:
    assert named in problems(config)


def test_every_wrong_field_is_named_at_once_and_no_secret_is() -> None:
    told = problems({**with_issuer(secret=SECRET), "grant_group": "", "sidecar_url": SECRET})
    assert "issuers[0]." in told
    assert "grant_group" in told
    assert "sidecar_url" in told
    assert SECRET not in told


def fields_in(fields: list[Field]) -> list[tuple[str, Field]]:
    return [next(iter(field.items())) for field in fields]


@pytest.mark.parametrize(
    ("name", "field"),
    [*fields_in(Schema), *fields_in(schema_of(Issuer)), *fields_in(schema_of(Fit))],
)
def test_each_field_is_one_that_kongs_metaschema_takes(name: str, field: Field) -> None:
    """After kong/db/schema/metaschema.lua: attributes, and which type may have which."""
    allowed = {
        "string": {"one_of", "match", "len_max", "referenceable", "encrypted"},
        "integer": {"between"},
        "boolean": set(),
        "array": {"elements"},
        "record": {"fields"},
    }
    common = {"type", "required", "default", "description"}
    assert field.keys() <= allowed[field["type"]] | common
    assert 10 <= len(field["description"]) <= 500
    if "default" in field:
        assert read_config({}) is not None
        assert field["required"]
    if field["type"] == "array":
        assert field["elements"]["type"] in ("string", "record")
