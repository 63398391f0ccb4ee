"""What a request presents to say who is calling."""

import re
from enum import Enum
from typing import NamedTuple

from jan_media_plugin.answers import ambiguous_credentials, invalid_token
from jan_media_plugin.headers import Headers

_KEY_PREFIX = "sk_"
_PROVIDERS_PREFIX = "sk-"  # of OpenAI, Anthropic and others
_KEY = re.compile(r"sk_[A-Za-z0-9_-]{8,200}", re.ASCII)


class Kind(Enum):
    """What a credential is."""

    TOKEN = "token"  # noqa: S105
    API_KEY = "API key"


class Credential(NamedTuple):
    """One token, of whatever form, or one well-formed API key; neither is checked yet."""

    kind: Kind
    text: str


def presented(headers: Headers, *, api_keys: bool) -> Credential | None:
    """Return the request's one credential, or None without any.

    ``Authorization: Bearer`` takes tokens and API keys (RFC 6750, the scheme in any case),
    ``X-API-Key`` takes keys. Raises `Refused` for anything else and for more than one.
    """
    authorization = headers.get("authorization")
    own_key = headers.get("x-api-key") if api_keys else None
    lines = own_key if authorization is None else authorization
    if lines is None:
        return None
    if len(lines) > 1 or (authorization is not None and own_key is not None):
        raise ambiguous_credentials("Send one Authorization or X-API-Key header, not several.")
    text = lines[0].strip() if lines else ""
    if authorization is None:
        return _api_key(text)
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "bearer":
        raise invalid_token("Authorization must be of the form Bearer <token>.")
    rest = rest.strip(" ")
    if api_keys and rest.startswith(_KEY_PREFIX):
        return _api_key(rest)
    if rest.startswith(_PROVIDERS_PREFIX):
        return _api_key(rest)
    return Credential(Kind.TOKEN, rest)


def _api_key(text: str) -> Credential:
    if text.startswith(_PROVIDERS_PREFIX):
        raise invalid_token(
            "This is a key of a model provider (sk-…), which is not for this gateway. Send a token "
            "of this gateway, or an API key that it made (sk_…).",
            "invalid_api_key",
        )
    if not _KEY.fullmatch(text):
        raise invalid_token("The API key is malformed.", "invalid_api_key")
    return Credential(Kind.API_KEY, text)
