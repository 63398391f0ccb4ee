"""What the values of settings may be, and how they are read.

Durations take ``500ms``, ``15s``, ``5m``, ``1h``, ``30d`` or plain seconds; sizes take bytes or
``20MB``, ``20MiB`` (both are 1024 * 1024 bytes). Each parser raises `ValueError` with what the
value must be.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from jan_media.fetch.policy import FetchPolicy

T = TypeVar("T")

SHORTEST_SECRET = 16  # characters


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is: ``host`` and ``port``, or a Unix socket at ``path``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def local_only(self) -> bool:
        """Whether nobody but this machine can reach it."""
        if self.path:
            return True
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Reader:
    """Reads variables, and collects what is wrong with each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[str] = []
        self.defaults: dict[str, str] = {}
        """Of every variable that was asked for; "" where it has none, or one that depends."""

    def __call__(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        """The value of a variable; the default's where it is unset or wrong."""
        value = self.given(name, parse)
        self.defaults[name] = default
        return parse(default) if value is None else value

    def given(self, name: str, parse: Callable[[str], T]) -> T | None:
        """The value of a variable; None where it is unset or wrong."""
        self.defaults[name] = ""
        text = self.environment.get(name, "").strip()
        try:
            return parse(text) if text else None
        except ValueError as problem:
            self.problems.append(f"{name}: {problem}")
            return None

    def text_or_file(self, name: str) -> str:
        """The value of a variable, or the text of the file that ``name``_FILE names; else ""."""
        text, path = self(name, "", str), self(f"{name}_FILE", "", str)
        if text and path:
            self.problems.append(f"{name}: set it or {name}_FILE, not both")
        if path:
            try:
                return Path(path).read_text()
            except (OSError, UnicodeDecodeError):
                self.problems.append(f"{name}_FILE: the file cannot be read")
        return text


def address(text: str) -> Address:
    """``host:port`` or ``unix:/path``."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError("a Unix socket needs an absolute path, as in unix:/run/jan-media.sock")
        return Address(path=path)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"must be host:port or unix:/path, not {text!r}")
    return Address(host=host.strip("[]"), port=int(port))


def http_url(text: str) -> str:
    """A base URL, without a slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https://")
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be a plain base URL: no query, fragment or credentials")
    return text.rstrip("/")


def oidc_issuer(text: str) -> str:
    """An issuer, exactly as it is written: a slash at its end counts."""
    parts = urlsplit(http_url(text))
    if parts.scheme == "http" and not Address(host=parts.hostname or "").local_only:
        raise ValueError("must begin with https://, but on this machine")
    return text


def oidc_scope(text: str) -> str:
    """The scopes to ask a provider of OpenID Connect for."""
    if "openid" not in text.split():
        raise ValueError(f"must have openid among its words, as in 'openid profile', not {text!r}")
    return text


def database_url(text: str) -> str:
    """A SQLite or PostgreSQL URL."""
    if not text.startswith(("sqlite:///", "postgresql://", "postgres://")):
        # The value is not shown: it may hold a password.
        raise ValueError("must begin with sqlite:/// or postgresql://")
    authority, _, path = text.partition("://")[2].partition("?")[0].partition("/")
    if not text.startswith("sqlite:") and (authority.count("@") > 1 or "@" in path):
        # Part of the password would pass for the host, and stand in every error.
        raise ValueError("must have an @ or / of its password written as %40 or %2F")
    return text


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


def duration(text: str) -> float:
    """The seconds of ``500ms``, ``15s``, ``5m``, ``1h``, ``30d`` or of a plain number.

    Raises `ValueError`.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"must be a duration such as 500ms, 15s, 5m, 1h, 30d, not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def positive_duration(text: str) -> float:
    """A duration longer than 0, in seconds."""
    seconds = duration(text)
    if not seconds:
        raise ValueError("must be longer than 0")
    return seconds


def whole_seconds(least: int, most: int) -> Callable[[str], int]:
    """A duration of whole seconds within bounds."""

    def parse(text: str) -> int:
        seconds = duration(text)
        if not least <= seconds <= most or seconds != int(seconds):
            raise ValueError(f"must be whole seconds between {least}s and {most}s, not {text!r}")
        return int(seconds)

    return parse


_SIZE = re.compile(r"(\d+)\s*(?:(k|m|g)i?b)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def size(text: str) -> int:
    """A size above 0, in bytes."""
    match = _SIZE.fullmatch(text)
    count = int(match[1]) * _UNITS[(match[2] or "").lower()] if match else 0
    if not count:
        raise ValueError(f"must be a size in bytes above 0, or as in 20MB, not {text!r}")
    return count


def size_or_none(text: str) -> int:
    """A size in bytes; 0 means that there is no limit."""
    return 0 if text == "0" else size(text)


def positive_number(text: str) -> float:
    """A number above 0."""
    number = float(text) if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else 0.0
    if not number:
        raise ValueError(f"must be a number above 0, not {text!r}")
    return number


def integer(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number within bounds."""
    wanted = f"at least {least}" if most is None else f"between {least} and {most}"

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else -1
        if number < least or (most is not None and number > most):
            raise ValueError(f"must be a whole number, {wanted}, not {text!r}")
        return number

    return parse


def boolean(text: str) -> bool:
    """``true`` or ``false``, or another usual word for it."""
    word = text.lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def one_of(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text

    return parse


def secret(text: str) -> str:
    """A secret that nobody guesses."""
    if len(text) < SHORTEST_SECRET:
        raise ValueError(f"must have at least {SHORTEST_SECRET} characters")
    return text


def places(text: str) -> str:
    """A comma list of CIDRs and host names."""
    FetchPolicy(allow=text)  # raises ValueError naming the entries that are none
    return text
