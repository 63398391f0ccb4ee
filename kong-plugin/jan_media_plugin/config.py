"""The plugin's configuration: declares each field once, with its checks and its description.

Kong checks each field alone and fills in defaults. Here fields are checked against each other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from jan_media_plugin import schema
from jan_media_plugin.fit import Fit
from jan_media_plugin.rewrite.places import parse_place
from jan_media_plugin.schema import ConfigError

_LEAST_SECRET_BYTES = 32
_LONGEST_ISSUER = 768  # bytes; issuer, | and subject are the sidecar's owner, of 1024 at most
_Elliptic = Literal["ES256", "ES384", "ES512", "EdDSA"]
_Rsa = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
_Shared = Literal["HS256", "HS384", "HS512"]
Algorithm = Literal[_Elliptic, _Rsa, _Shared]
_HEADER_NAME = {"match": "^[A-Za-z0-9-]+$", "len_max": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """One issuer of tokens. Exactly one of four fields says where its keys are."""

    issuer: str = schema.string(
        "The iss claim of its tokens, character for character.", required=True
    )
    jwks_url: str | None = schema.string("Where its public keys are.")
    discovery_url: str | None = schema.string(
        "Its OpenID configuration, which names the jwks_url: …/.well-known/openid-configuration."
    )
    secret: str | None = schema.secret("The shared secret of an issuer that signs with HS256.")
    public_key: str | None = schema.secret("The one public key of the issuer, as PEM.")
    audience: tuple[str, ...] = schema.strings(
        "A token must be meant for one of these. Empty: for any."
    )
    algorithms: tuple[Algorithm, ...] = schema.strings(
        "The signature algorithms that are accepted. HS* goes with secret, and only with it.",
        *("ES256", "RS256", "EdDSA"),
        one_of=list(get_args(Algorithm)),
    )
    groups_claim: str = schema.string(
        "The claim that lists the caller's groups; dots reach into it: realm_access.roles.",
        default="groups",
    )
    consumer_id: str | None = schema.string(
        "The id of the Kong consumer that all its callers are to Kong's own plugins, such as a "
        "rate limit for guests alone."
    )
    leeway: int = schema.integer("Seconds by which clocks may differ (exp, nbf, iat).", 30, 0, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One use of the plugin in kong.yml."""

    # Who is calling.
    auth: Literal["required", "optional", "consumer", "off"] = schema.choice(
        "optional admits callers without credentials, never ones with bad credentials. consumer "
        "takes the Kong consumer that another plugin has authenticated, such as key-auth.",
        *("required", "optional", "consumer", "off"),
    )
    issuers: tuple[Issuer, ...] = schema.records("Whose bearer tokens (JWT) are accepted.", Issuer)
    api_keys: bool = schema.boolean("Whether the sidecar's sk_… keys are accepted.", True)
    grant_group: str = schema.string(
        "The group of every admitted caller, which the acl guard on the route allows.",
        default="jan-users",
    )
    set_consumer: bool = schema.boolean(
        "Make the caller Kong's consumer, for rate limits by consumer or credential and for logs. "
        "An issuer's consumer_id comes first.",
        False,
    )
    jwks_cache_seconds: int = schema.integer("How long fetched keys are fresh.", 300, 10, 86_400)
    jwks_stale_seconds: int = schema.integer(
        "How much longer they are used while their issuer cannot be reached.", 3600, 0, 604_800
    )
    key_cache_seconds: int = schema.integer(
        "How long the sidecar's word on an API key is believed, and so how late a revocation is.",
        *(30, 0, 3600),
    )
    # The sidecar.
    sidecar_url: str = schema.string(
        "The sidecar's internal listener: http://host:port or unix:/path/of/socket.",
        default="http://127.0.0.1:8286",
    )
    gateway_secret: str | None = schema.secret("What the sidecar's MEDIA_GATEWAY_SECRET says.")
    send_gateway_secret: bool = schema.boolean(
        "Send the secret with the request. Only where the upstream is the sidecar itself.", False
    )
    timeout_ms: int = schema.integer(
        "The most to wait for the sidecar or an issuer.", 5000, 10, 60_000
    )
    # Media ids in request bodies.
    resolve: bool = schema.boolean("Put a URL in the place of each media id in JSON.", False)
    resolve_as: Literal["url", "data_url"] = schema.choice(
        "data_url puts the bytes themselves in, for upstreams that cannot fetch.",
        *("url", "data_url"),
    )
    places: tuple[str, ...] = schema.strings(
        "Where an id is media: the last keys of the way to it, such as messages[].image_url.url. "
        "The key before the last may be the type of the object instead: input_image.file_id.",
        *("image_url.url", "image_url", "video_url.url", "audio_url.url", "file_url"),
        "document_url",
        *("input_image.file_id", "input_file.file_id", "file.file_id"),
        *("computer_screenshot.file_id", "images[].file_id", "mask.file_id"),
        *("source.url", "source.file_id", "fileData.fileUri", "file_data.file_uri"),
        *("fileData.file_uri", "file_data.fileUri"),
        # Places of bytes: SDKs accept any text that is not a URL as base64.
        *("base64.data", "inlineData.data", "inline_data.data", "input_audio.data"),
        *("input_file.file_data", "file.file_data"),
    )
    never_below: tuple[str, ...] = schema.strings(
        "Keys below which no id is media, whatever places says: arguments of tools, metadata.",
        *("metadata", "tools", "arguments", "response_format"),
        *("content.input", "toolUse.input"),
    )
    unresolved: Literal["reject", "pass"] = schema.choice(
        "What happens to a request with an id that has no media: a 400, or left as it is.",
        *("reject", "pass"),
    )
    inline: Literal["pass", "store"] = schema.choice(
        "store: media that a client sends as base64 are kept for it like an upload, once per "
        "content, and a URL goes on in their place.",
        *("pass", "store"),
    )
    inline_min_bytes: int = schema.integer(
        "Inline media of fewer characters of base64 go on as they came.", 65_536, 1024, 67_108_864
    )
    inline_refused: Literal["pass", "reject"] = schema.choice(
        "What happens to a request with inline media that may not be stored (their type, a "
        "quota): it goes on as it came, or is refused.",
        *("pass", "reject"),
    )
    fit: Fit | None = schema.record(
        "What the route's model takes. Media that do not fit are converted, and the URLs of the "
        "converted ones go on.",
        Fit,
    )
    max_ids: int = schema.integer("The most different ids in one request.", 64, 1, 1000)
    max_body_bytes: int = schema.integer(
        "The largest body: by Content-Length on any request, by itself where ids are resolved.",
        *(33_554_432, 1024, 67_108_864),
    )
    max_header_bytes: int = schema.integer(
        "The most bytes of all header lines of a request. What is above nginx's own limits "
        "(large_client_header_buffers) never comes here.",
        *(16_384, 1024, 1_048_576),
    )
    url_cache_size: int = schema.integer("Resolved URLs kept in memory.", 10_000, 0, 1_000_000)
    # What the upstream receives.
    hide_credentials: bool = schema.boolean(
        "Keep the caller's Authorization, X-API-Key and X-Goog-Api-Key from the upstream.", True
    )
    hide_headers: tuple[str, ...] = schema.strings(
        "Headers of the client that the upstream does not get: by default cookies, and those by "
        "which other proxies name a caller. A * at the end stands for any ending.",
        "Cookie",
        *("Forwarded", "X-Original-URL", "X-Rewrite-URL"),
        *("X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username"),
        *("X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Auth-Request-*"),
        *("Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups"),
        *("X-Remote-User", "X-Remote-Group", "X-WebAuth-User"),
        *("X-User", "X-User-Id", "X-User-Name", "X-User-Email", "X-User-Groups"),
        match="^[A-Za-z0-9-]+%*?$",
    )
    upstream_authorization: str | None = schema.secret(
        "The Authorization header that the upstream gets."
    )
    identity_headers: bool | None = schema.boolean(
        "Tell the upstream who is calling, in the headers below. Default: true, and false with "
        "upstream_authorization, since such an upstream is somebody else's.",
        None,
    )
    user_header: str = schema.string(
        "Says who the caller is.", default="X-Jan-User-Id", **_HEADER_NAME
    )
    issuer_header: str = schema.string("Says who vouches.", default="X-Jan-Issuer", **_HEADER_NAME)
    groups_header: str = schema.string(
        "Lists their groups.", default="X-Jan-Groups", **_HEADER_NAME
    )


Schema = schema.schema_of(Config)


def read_config(given: dict[str, Any]) -> Config:
    """Parse what Kong sent for an instance. Raises `ConfigError`."""
    config = schema.read_record(Config, given)
    if problems := [*_problems(config), *_problems_of_issuers(config.issuers)]:
        raise ConfigError("; ".join(problems))
    # An empty secret is an unresolved vault reference. The sidecar refuses us if it needs a secret.
    return replace(config, gateway_secret=config.gateway_secret or None)


def _problems(config: Config) -> Iterator[str]:
    if config.auth in ("required", "optional") and not config.issuers and not config.api_keys:
        yield "auth needs issuers or api_keys: nobody could be admitted"
    if not config.sidecar_url.startswith("unix:/") and not _is_http_url(config.sidecar_url):
        yield "sidecar_url must be http(s)://host:port or unix:/path"
    if not config.grant_group:
        yield "grant_group must not be empty"
    authorization = config.upstream_authorization
    if authorization is not None and (
        not authorization or not authorization.isprintable() or authorization.startswith("{vault:")
    ):
        yield "upstream_authorization is empty or has control characters (is its reference right?)"
    if config.gateway_secret and not config.gateway_secret.isprintable():
        yield "gateway_secret has control characters (a line's end, perhaps)"
    names = [config.user_header, config.issuer_header, config.groups_header]
    if len({name.lower() for name in names}) < len(names):
        yield "user_header, issuer_header and groups_header must differ"
    for name, places in (("places", config.places), ("never_below", config.never_below)):
        for text in places:
            try:
                parse_place(text)
            except ValueError as error:
                yield f"{name}: {error}"


def _problems_of_issuers(issuers: Sequence[Issuer]) -> Iterator[str]:
    for at, issuer in enumerate(issuers):
        yield from (f"issuers[{at}].{problem}" for problem in _problems_of_issuer(issuer))
    if len({issuer.issuer for issuer in issuers}) < len(issuers):
        yield "issuers: two have the same issuer"


def _problems_of_issuer(issuer: Issuer) -> Iterator[str]:
    sources = ("jwks_url", "discovery_url", "secret", "public_key")
    given = [source for source in sources if getattr(issuer, source) is not None]
    if len(given) != 1:
        yield f"issuer needs exactly one of {', '.join(sources)}; it has {len(given)}"
    # The sidecar names an owner "issuer|subject": those of two issuers must not be equal.
    if not issuer.issuer.isprintable() or not issuer.issuer or "|" in issuer.issuer:
        yield "issuer must be printable text without |"
    if len(issuer.issuer.encode()) > _LONGEST_ISSUER:
        yield f"issuer must have at most {_LONGEST_ISSUER} bytes"
    shared = [name for name in issuer.algorithms if name.startswith("HS")]
    if not issuer.algorithms:
        yield "algorithms must name at least one"
    if issuer.secret is not None and len(shared) < len(issuer.algorithms):
        yield "algorithms must be HS256, HS384 or HS512 only, since secret is set"
    if issuer.secret is None and shared:
        yield "algorithms must not name HS*, which is for an issuer with a secret"
    if issuer.secret is not None and len(issuer.secret.encode()) < _LEAST_SECRET_BYTES:
        yield f"secret must have at least {_LEAST_SECRET_BYTES} bytes"
    if issuer.public_key is not None and not _is_public_key(issuer.public_key):
        yield "public_key must be a public key as PEM"
    for name, url in (("jwks_url", issuer.jwks_url), ("discovery_url", issuer.discovery_url)):
        if url is not None and not _is_http_url(url):
            yield f"{name} must be an http or https URL"


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_public_key(pem: str) -> bool:
    # Kong asks for the schema before it starts, and must not wait for these imports.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
