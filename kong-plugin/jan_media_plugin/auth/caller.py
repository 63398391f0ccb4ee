"""Who is calling, and the credential that a request presents."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jan_media_plugin.answers import CHALLENGE, Refused, invalid_token, unauthenticated

_KEY_PREFIX = "sk_"
_PROVIDERS_PREFIX = "sk-"  # of OpenAI, Anthropic and others
KEY_HEADERS = ("x-api-key", "x-goog-api-key")
"""Where clients of Anthropic's and Google's APIs put the credential that they are given."""
_KEY = re.compile(r"sk_[A-Za-z0-9_-]{8,200}", re.ASCII)
LONGEST_SUBJECT = 255
"""Bytes, by OpenID Connect (Core, section 2). With the longest issuer this is the longest identity
that the sidecar accepts, so plugin and sidecar agree on every caller."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and who says so: an issuer, or "" for an API key."""

    subject: str
    issuer: str
    groups: tuple[str, ...]


def is_subject(value: object) -> bool:
    """Whether ``value`` can name a caller in a header and mean the same there.

    White space around it would be lost in transit, so that two callers became one.
    """
    return (
        isinstance(value, str)
        and value.isprintable()
        and value == value.strip()
        and 0 < len(value.encode()) <= LONGEST_SUBJECT
    )


def groups_of(value: object) -> tuple[str, ...]:
    """Return the groups in a claim: a list of texts, or texts in one, separated by spaces."""
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        return ()
    return tuple(
        group for group in value if isinstance(group, str) and group.isprintable() and group
    )


KONG = "kong"
"""The issuer of Kong's consumers. Issuers of tokens are URLs, so this cannot be one of them."""


def caller_of_kong(consumer: Mapping[str, object]) -> Caller:
    """Return Kong's consumer as a caller: its custom_id, else its username, else its id.

    Raises `Refused` without a consumer, and for one that no header can name.
    """
    names = (consumer.get("custom_id"), consumer.get("username"), consumer.get("id"))
    subject = next(filter(None, names), None)
    if subject is None:
        raise unauthenticated(
            "Send the credential that this gateway asks for, such as an API key in the header "
            "apikey."
        )
    if not is_subject(subject):
        raise invalid_token("The consumer's name is too long, or has characters of no text.")
    return Caller(str(subject), KONG, ())


class Credential(NamedTuple):
    """One token, of any form, or one well-formed API key; neither is verified yet."""

    text: str
    is_api_key: bool


def presented(headers: Mapping[str, Sequence[str]], *, api_keys: bool) -> Credential | None:
    """Return the request's only credential, or None if it has none.

    ``Authorization: Bearer`` takes tokens and API keys (RFC 6750, the scheme in any case),
    ``X-API-Key`` and ``X-Goog-Api-Key`` take them too. Raises `Refused` for
    anything else and for more than one.
    """
    fields = ("authorization", *(KEY_HEADERS if api_keys else ()))
    sent = {name: headers[name] for name in fields if name in headers}
    if not sent:
        return None
    ((name, lines), *others) = sent.items()
    if others or len(lines) > 1:
        says = "Send one Authorization or X-API-Key header, not several."
        challenge = f'{CHALLENGE}, error="invalid_request"'  # RFC 6750
        raise Refused(400, "ambiguous_credentials", says, headers={"WWW-Authenticate": challenge})
    text = lines[0].strip() if lines else ""
    if name != "authorization":
        return Credential(text, is_api_key=False) if text.count(".") == 2 else _api_key(text)
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "bearer":
        raise invalid_token("Authorization must be of the form Bearer <token>.")
    rest = rest.strip(" ")
    is_api_key = rest.startswith(_PROVIDERS_PREFIX) or (api_keys and rest.startswith(_KEY_PREFIX))
    return _api_key(rest) if is_api_key else Credential(rest, is_api_key=False)


def _api_key(text: str) -> Credential:
    if text.startswith(_PROVIDERS_PREFIX):
        raise invalid_token(
            "This is a key of a model provider (sk-…), which is not for this gateway. Send a token "
            "of this gateway, or an API key that it made (sk_…).",
            "invalid_api_key",
        )
    if not _KEY.fullmatch(text):
        raise invalid_token("The API key is malformed.", "invalid_api_key")
    return Credential(text, is_api_key=True)
