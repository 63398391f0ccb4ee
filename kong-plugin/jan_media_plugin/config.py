"""One instance's configuration, checked and typed.

Kong has checked each field against `schema` by itself and filled in defaults. Here the fields are
read robustly (Lua drops nulls, and writes an empty list as ``{}``), and checked against each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from jan_media_plugin.rewrite.places import parse_place
from jan_media_plugin.schema import Field, Schema

_LEAST_SECRET_BYTES = 32
_LONGEST_ISSUER = 768  # bytes; issuer, | and subject are the sidecar's owner, of 1024 at most


class ConfigError(ValueError):
    """Names every field that is wrong, and no value that may be secret."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer of tokens, and where its keys are: exactly one of the four is set."""

    issuer: str
    jwks_url: str | None
    discovery_url: str | None
    secret: str | None
    public_key: str | None
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    groups_claim: str
    leeway: int  # seconds
    consumer_id: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The fields of `schema.Schema`; their meaning is described there."""

    auth: Literal["required", "optional", "off"]
    issuers: tuple[Issuer, ...]
    api_keys: bool
    grant_group: str
    set_consumer: bool
    jwks_cache_seconds: int
    jwks_stale_seconds: int
    key_cache_seconds: int
    sidecar_url: str
    gateway_secret: str | None
    send_gateway_secret: bool
    timeout_ms: int
    resolve: bool
    resolve_as: Literal["url", "data_url"]
    data_url_max_bytes: int
    places: tuple[str, ...]
    never_below: tuple[str, ...]
    unresolved: Literal["reject", "pass"]
    max_ids: int
    max_body_bytes: int
    max_header_bytes: int
    url_cache_size: int
    hide_credentials: bool
    hide_headers: tuple[str, ...]
    upstream_authorization: str | None
    user_header: str
    issuer_header: str
    groups_header: str


def read_config(given: dict[str, Any]) -> Config:
    """Return what Kong sent for an instance. Raises `ConfigError`, naming every wrong field."""
    problems: list[str] = []
    values = _read(Schema, given, "", problems)
    if problems:
        raise ConfigError("; ".join(problems))
    # An empty secret is a vault reference that led nowhere. The sidecar refuses us if it needs one.
    values["gateway_secret"] = values["gateway_secret"] or None
    values["issuers"] = tuple(Issuer(**issuer) for issuer in values["issuers"])
    config = Config(**values)
    problems = [*_problems_of_issuers(config.issuers), *_problems(config)]
    if problems:
        raise ConfigError("; ".join(problems))
    return config


def _read(
    fields: Sequence[Field], given: object, where: str, problems: list[str]
) -> dict[str, Any]:
    source = given if isinstance(given, dict) else {}
    if source is not given and given != []:
        problems.append(f"{where or 'config'} must be a record")
    values = {}
    for field in fields:
        ((name, kind),) = field.items()
        value = source.get(name)
        if value is None:
            value = kind.get("default")
        if value is None and kind.get("required"):
            problems.append(f"{where}{name} is required")
        values[name] = None if value is None else _typed(kind, value, where + name, problems)
    return values


def _typed(kind: Field, value: object, where: str, problems: list[str]) -> Any:
    match kind["type"]:
        case "array":
            items = [] if value == {} else value
            if not isinstance(items, list | tuple):
                problems.append(f"{where} must be a list")
                return ()
            elements = kind["elements"]
            return tuple(
                _typed(elements, item, f"{where}[{at}]", problems) for at, item in enumerate(items)
            )
        case "record":
            return _read(kind["fields"], value, f"{where}.", problems)
        case "boolean":
            right = isinstance(value, bool)
        case "integer":
            right = isinstance(value, int | float) and not isinstance(value, bool)
            right = right and int(cast("float", value)) == value
            value = int(cast("float", value)) if right else value
        case _:
            right = isinstance(value, str)
    if not right:
        problems.append(f"{where} must be of type {kind['type']}")
    elif "one_of" in kind and value not in kind["one_of"]:
        problems.append(f"{where} must be one of {', '.join(kind['one_of'])}")
    elif "between" in kind:
        low, high = kind["between"]
        if not low <= cast("int", value) <= high:
            problems.append(f"{where} must be between {low} and {high}")
    return value


def _problems(config: Config) -> list[str]:
    problems = []
    if config.auth != "off" and not config.issuers and not config.api_keys:
        problems.append("auth needs issuers or api_keys: nobody could be admitted")
    if not _is_sidecar_url(config.sidecar_url):
        problems.append("sidecar_url must be http(s)://host:port or unix:/path")
    if not config.grant_group:
        problems.append("grant_group must not be empty")
    if config.upstream_authorization is not None and not _is_visible(config.upstream_authorization):
        problems.append(
            "upstream_authorization is empty or has control characters (is its reference right?)"
        )
    if config.gateway_secret and not config.gateway_secret.isprintable():
        problems.append("gateway_secret has control characters (a line's end, perhaps)")
    names = [config.user_header, config.issuer_header, config.groups_header]
    if len({name.lower() for name in names}) < len(names):
        problems.append("user_header, issuer_header and groups_header must differ")
    for field in ("places", "never_below"):
        for text in getattr(config, field):
            try:
                parse_place(text)
            except ValueError as error:
                problems.append(f"{field}: {error}")
    return problems


def _is_sidecar_url(text: str) -> bool:
    return text.startswith("unix:/") or _is_http_url(text)


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_visible(text: str) -> bool:
    return bool(text) and text.isprintable() and not text.startswith("{vault://")


def _problems_of_issuers(issuers: Sequence[Issuer]) -> list[str]:
    problems = []
    for at, issuer in enumerate(issuers):
        problems += [f"issuers[{at}].{problem}" for problem in _problems_of_issuer(issuer)]
    names = [issuer.issuer for issuer in issuers]
    if len(set(names)) < len(names):
        problems.append("issuers: two have the same issuer")
    return problems


def _problems_of_issuer(issuer: Issuer) -> list[str]:
    sources = ("jwks_url", "discovery_url", "secret", "public_key")
    given = [source for source in sources if getattr(issuer, source) is not None]
    if len(given) != 1:
        return [f"issuer needs exactly one of {', '.join(sources)}; it has {len(given)}"]
    problems = []
    # The sidecar knows an owner by "issuer|subject": two issuers must not make one.
    if not issuer.issuer.isprintable() or not issuer.issuer or "|" in issuer.issuer:
        problems.append("issuer must be printable text without |")
    elif len(issuer.issuer.encode()) > _LONGEST_ISSUER:
        problems.append(f"issuer must have at most {_LONGEST_ISSUER} bytes")
    shared = [name for name in issuer.algorithms if name.startswith("HS")]
    if not issuer.algorithms:
        problems.append("algorithms must name at least one")
    elif issuer.secret is not None and len(shared) < len(issuer.algorithms):
        problems.append("algorithms must be HS256, HS384 or HS512 only, since secret is set")
    elif issuer.secret is None and shared:
        problems.append("algorithms must not name HS*, which is for an issuer with a secret")
    if issuer.secret is not None and len(issuer.secret.encode()) < _LEAST_SECRET_BYTES:
        problems.append(f"secret must have at least {_LEAST_SECRET_BYTES} bytes")
    if issuer.public_key is not None and not _is_public_key(issuer.public_key):
        problems.append("public_key must be a public key as PEM")
    for field in ("jwks_url", "discovery_url"):
        url = getattr(issuer, field)
        if url is not None and not _is_http_url(url):
            problems.append(f"{field} must be an http or https URL")
    return problems


def _is_public_key(pem: str) -> bool:
    try:
        load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
