"""The fields of the plugin's config, in Kong's schema language: types, defaults and bounds.

Kong checks kong.yml against this and fills in the defaults; nothing else in the plugin holds one.
Imports nothing, since Kong runs the query command before it starts.
"""

from typing import Any

Field = dict[str, Any]


def _string(default: str | None = None, **more: Any) -> Field:
    return _with_default({"type": "string", **more}, default)


def _secret(**more: Any) -> Field:
    # Kong resolves {vault://…} here, and keeps the value out of what it stores and shows.
    return {"type": "string", "referenceable": True, "encrypted": True, **more}


def _integer(default: int, low: int, high: int) -> Field:
    return {"type": "integer", "required": True, "default": default, "between": [low, high]}


def _boolean(default: bool) -> Field:
    return {"type": "boolean", "required": True, "default": default}


def _choice(*options: str) -> Field:
    return {"type": "string", "required": True, "default": options[0], "one_of": list(options)}


def _strings(default: list[str], **element: Any) -> Field:
    elements = {"type": "string", **element}
    return {"type": "array", "required": True, "default": default, "elements": elements}


def _with_default(field: Field, default: str | None) -> Field:
    return field if default is None else {**field, "required": True, "default": default}


def _described(name: str, field: Field, description: str) -> Field:
    return {name: {**field, "description": description}}


_HEADER_NAME = {"match": "^[A-Za-z0-9-]+$", "len_max": 100}

ISSUER_FIELDS: list[Field] = [
    _described(
        "issuer",
        {"type": "string", "required": True},
        "The iss claim of its tokens, character for character.",
    ),
    _described("jwks_url", _string(), "Where its public keys are."),
    _described(
        "discovery_url",
        _string(),
        "Its OpenID configuration, which names the jwks_url: …/.well-known/openid-configuration.",
    ),
    _described("secret", _secret(), "The shared secret of an issuer that signs with HS256."),
    _described("public_key", _secret(), "The one public key of the issuer, as PEM."),
    _described("audience", _strings([]), "A token must be meant for one of these. Empty: for any."),
    _described(
        "algorithms",
        _strings(
            ["ES256", "RS256", "EdDSA"],
            one_of=[
                *("ES256", "ES384", "ES512", "EdDSA"),
                *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
                *("HS256", "HS384", "HS512"),
            ],
        ),
        "The signature algorithms that are accepted. HS* goes with secret, and only with it.",
    ),
    _described(
        "groups_claim",
        _string("groups"),
        "The claim that lists the caller's groups; dots reach into it: realm_access.roles.",
    ),
    _described(
        "consumer_id",
        _string(),
        "The id of the Kong consumer that all its callers are to Kong's own plugins, such as a "
        "rate limit for guests alone. Costs nothing.",
    ),
    _described(
        "leeway", _integer(30, 0, 300), "Seconds by which clocks may differ (exp, nbf, iat)."
    ),
]

Schema: list[Field] = [
    # Who is calling.
    _described(
        "auth",
        _choice("required", "optional", "off"),
        "optional admits callers without credentials, never ones with bad credentials.",
    ),
    _described(
        "issuers",
        {
            "type": "array",
            "required": True,
            "default": [],
            "elements": {"type": "record", "fields": ISSUER_FIELDS},
        },
        "Whose bearer tokens (JWT) are accepted.",
    ),
    _described("api_keys", _boolean(True), "Whether the sidecar's sk_… keys are accepted."),
    _described(
        "grant_group",
        _string("jan-users"),
        "The group of every admitted caller, which the acl guard on the route allows.",
    ),
    _described(
        "set_consumer",
        _boolean(False),
        "Make the caller Kong's consumer, for rate limits by consumer or credential and for logs. "
        "An issuer's consumer_id comes first.",
    ),
    _described("jwks_cache_seconds", _integer(300, 10, 86_400), "How long fetched keys are fresh."),
    _described(
        "jwks_stale_seconds",
        _integer(3600, 0, 604_800),
        "How much longer they are used while their issuer cannot be reached.",
    ),
    _described(
        "key_cache_seconds",
        _integer(30, 0, 3600),
        "How long the sidecar's word on an API key is believed, and so how late a revocation is.",
    ),
    # The sidecar.
    _described(
        "sidecar_url",
        _string("http://127.0.0.1:8286"),
        "The sidecar's internal listener: http://host:port or unix:/path/of/socket.",
    ),
    _described("gateway_secret", _secret(), "What the sidecar's MEDIA_GATEWAY_SECRET says."),
    _described(
        "send_gateway_secret",
        _boolean(False),
        "Send the secret with the request. Only where the upstream is the sidecar itself.",
    ),
    _described(
        "timeout_ms", _integer(5000, 10, 60_000), "The most to wait for the sidecar or an issuer."
    ),
    # Media ids in request bodies.
    _described("resolve", _boolean(False), "Put a URL in the place of each media id in JSON."),
    _described(
        "resolve_as",
        _choice("url", "data_url"),
        "data_url puts the bytes themselves in, for upstreams that cannot fetch.",
    ),
    _described(
        "data_url_max_bytes",
        _integer(524_288, 1, 16_777_216),
        "The largest file that resolve_as: data_url puts in.",
    ),
    _described(
        "places",
        _strings(
            [
                *("image_url.url", "image_url", "input_image.image_url"),
                *("video_url.url", "audio_url.url", "file_url", "source.url"),
            ]
        ),
        "Where an id is media: the last keys of the way to it, such as messages[].image_url.url.",
    ),
    _described(
        "never_below",
        _strings(
            [
                *("metadata", "tools", "arguments", "response_format"),
                *("content.input", "toolUse.input"),
            ]
        ),
        "Keys below which no id is media, whatever places says: arguments of tools, metadata.",
    ),
    _described(
        "unresolved",
        _choice("reject", "pass"),
        "What happens to a request with an id that has no media: a 400, or left as it is.",
    ),
    _described("max_ids", _integer(64, 1, 1000), "The most different ids in one request."),
    _described(
        "max_body_bytes",
        _integer(33_554_432, 1024, 67_108_864),
        "The largest body: by Content-Length on any request, by itself where ids are resolved.",
    ),
    _described(
        "max_header_bytes",
        _integer(16_384, 1024, 1_048_576),
        "The most bytes of all header lines of a request. What is above nginx's own limits "
        "(large_client_header_buffers) never comes here.",
    ),
    _described("url_cache_size", _integer(10_000, 0, 1_000_000), "Resolved URLs kept in memory."),
    # What the upstream gets to see.
    _described(
        "hide_credentials",
        _boolean(True),
        "Keep the caller's Authorization and X-API-Key from the upstream.",
    ),
    _described(
        "hide_headers",
        _strings(
            [
                "Cookie",
                *("Forwarded", "X-Original-URL", "X-Rewrite-URL"),
                *("X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username"),
                *("X-Forwarded-Groups", "X-Forwarded-Access-Token", "X-Auth-Request-*"),
                *("Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups"),
                *("X-Remote-User", "X-Remote-Group", "X-WebAuth-User"),
                *("X-User", "X-User-Id", "X-User-Name", "X-User-Email", "X-User-Groups"),
            ],
            match="^[A-Za-z0-9-]+%*?$",
        ),
        "Headers of the client that the upstream does not get: by default cookies, and those by "
        "which other proxies name a caller. A * at the end stands for any ending.",
    ),
    _described(
        "upstream_authorization", _secret(), "The Authorization header that the upstream gets."
    ),
    _described("user_header", _string("X-Jan-User-Id", **_HEADER_NAME), "Says who the caller is."),
    _described("issuer_header", _string("X-Jan-Issuer", **_HEADER_NAME), "Says who vouches."),
    _described("groups_header", _string("X-Jan-Groups", **_HEADER_NAME), "Lists their groups."),
]
