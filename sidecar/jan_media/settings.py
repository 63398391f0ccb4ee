"""Every setting of the sidecar, read from the environment and checked all at once.

A setting is one line of `Settings`: its variable, its default and its parser. Besides that, it
needs only its line in docs/configuration.md.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from jan_media.content.allowed_types import AllowedTypes
from jan_media.fetch.policy import Places
from jan_media.log import FORMATS

T = TypeVar("T")

DEFAULT_ALLOWED_TYPES = (
    "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff,image/avif,"
    "image/heic,image/heif"
)
DEFAULT_FILE_TYPES = "application/pdf,audio/wav,audio/mpeg"
SHORTEST_GRACE = 60  # seconds: longer than any one write should take
SHORTEST_SECRET = 16  # characters
DAY = 86400  # seconds


class S3Settings:
    """The S3 bucket, and how to reach it. Empty strings: the AWS chain has the values."""

    def __init__(self, read: "Reader") -> None:
        aws = read.environment
        aws_region = aws.get("AWS_REGION") or aws.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.endpoint = read.given("MEDIA_S3_ENDPOINT", http_url) or ""
        self.public_endpoint = read.given("MEDIA_S3_PUBLIC_ENDPOINT", http_url) or ""
        self.region = read.given("MEDIA_S3_REGION", str) or aws_region
        self.bucket = read("MEDIA_S3_BUCKET", "", str)
        self.access_key = read("MEDIA_S3_ACCESS_KEY", "", str)
        self.secret_key = read("MEDIA_S3_SECRET_KEY", "", str)
        path_style = read.given("MEDIA_S3_USE_PATH_STYLE", boolean)
        # AWS wants the bucket in the host name, most other services in the path.
        self.use_path_style = bool(self.endpoint) if path_style is None else path_style


class ConsoleOidc:
    """The OpenID Connect provider with which people sign in on the console. No issuer: none."""

    def __init__(self, read: "Reader") -> None:
        self.issuer = read.given("MEDIA_CONSOLE_OIDC_ISSUER", oidc_issuer) or ""
        self.client_id = read("MEDIA_CONSOLE_OIDC_CLIENT_ID", "", str)
        self.scope = read("MEDIA_CONSOLE_OIDC_SCOPE", "openid profile", oidc_scope)
        self.audience = read("MEDIA_CONSOLE_OIDC_AUDIENCE", "", str)  # where a provider wants one


class Settings:
    """What an operator decided. Durations are seconds unless a name says otherwise."""

    def __init__(self, read: "Reader") -> None:
        """Read them. A wrong value gets its default here, and a line in ``read.problems``."""
        self.warnings: list[str] = []  # what an operator should be told about them
        self.listen = read("MEDIA_LISTEN", "127.0.0.1:8285", address)
        self.internal_listen = read("MEDIA_INTERNAL_LISTEN", "127.0.0.1:8286", address)
        here = "http://localhost" if self.listen.path else f"http://{self.listen}"
        self.public_url = read.given("MEDIA_PUBLIC_URL", http_url) or here
        self.workers = read("MEDIA_WORKERS", "1", integer(1, 64))
        self.gateway_secret = read("MEDIA_GATEWAY_SECRET", "", str)
        self.gateway_secret_previous = read("MEDIA_GATEWAY_SECRET_PREVIOUS", "", str)

        self.storage_backend = read("MEDIA_STORAGE_BACKEND", "s3", one_of("s3", "local"))
        self.data_dir = read("MEDIA_DATA_DIR", "./var/media", lambda text: Path(text).absolute())
        in_data_dir = f"sqlite:///{self.data_dir}/catalog.db"
        self.database_url = read.given("MEDIA_DATABASE_URL", database_url) or in_data_dir
        self.s3 = S3Settings(read)
        lifetime = whole_seconds(1, 7 * DAY)
        self.presign_ttl = read("MEDIA_S3_PRESIGN_TTL", "5m", lifetime)
        # The lifetime of URLs that a model gets.
        self.llm_url_ttl = read.given("MEDIA_LLM_URL_TTL", lifetime) or self.presign_ttl
        self.upload_ttl = read("MEDIA_UPLOAD_TTL", "15m", lifetime)
        self.url_secret = read.given("MEDIA_URL_SECRET", secret) or ""  # "": one in the data_dir

        self.max_bytes = read("MEDIA_MAX_BYTES", "20971520", size)
        self.allowed_types = read("MEDIA_ALLOWED_TYPES", DEFAULT_ALLOWED_TYPES, AllowedTypes)
        # Allowed in addition for /v1/files and for inline: store.
        self.file_types = read("MEDIA_FILE_TYPES", DEFAULT_FILE_TYPES, AllowedTypes)
        self.max_pixels = read("MEDIA_MAX_PIXELS", "100000000", integer(1))
        # Made when a picture is uploaded, within the limits that routes asked for recently.
        self.renditions_ahead = read("MEDIA_RENDITIONS_AHEAD", "false", boolean)
        self.quota_bytes = read("MEDIA_QUOTA_BYTES", "20GiB", size_or_none)  # of one owner
        self.quota_files = read("MEDIA_QUOTA_FILES", "200000", integer(0))
        self.guest_quota_bytes = read("MEDIA_GUEST_QUOTA_BYTES", "1GiB", size_or_none)
        self.guest_quota_files = read("MEDIA_GUEST_QUOTA_FILES", "10000", integer(0))
        self.retention_days = read("MEDIA_RETENTION_DAYS", "30", positive_number)
        self.sweep_interval = read("MEDIA_SWEEP_INTERVAL", "10m", duration)
        self.sweep_grace = read("MEDIA_SWEEP_GRACE", "1h", duration)
        self.proxy_download = read("MEDIA_PROXY_DOWNLOAD", "true", boolean)
        self.max_uploads = read("MEDIA_MAX_UPLOADS", "32", integer(1, 10_000))
        self.max_fetches = read("MEDIA_MAX_FETCHES", "16", integer(1, 10_000))

        self.remote_fetch_timeout = read("MEDIA_REMOTE_FETCH_TIMEOUT", "15s", positive_duration)
        self.fetch_allow = read("MEDIA_FETCH_ALLOW", "", Places)
        self.fetch_deny = read("MEDIA_FETCH_DENY", "", Places)

        self.issuer = read("MEDIA_ISSUER", "http://localhost:8000/llm", str)
        self.audience = read("MEDIA_AUDIENCE", "jan", str)
        self.guest_login = read("MEDIA_GUEST_LOGIN", "true", boolean)
        self.guest_token_ttl = read("MEDIA_GUEST_TOKEN_TTL", "24h", whole_seconds(1, 366 * DAY))
        # Per client address and worker; 0: no limit.
        per_minute = read("MEDIA_GUEST_LOGIN_PER_MINUTE", "120", integer(0, 1_000_000))
        self.guest_login_per_minute = per_minute
        # PEM; "": one in the data_dir.
        self.signing_key = read.text_or_file("MEDIA_SIGNING_KEY")
        self.signing_key_previous = read.text_or_file("MEDIA_SIGNING_KEY_PREVIOUS")

        self.log_format = read("MEDIA_LOG_FORMAT", "text", one_of(*FORMATS))
        self.console = read("MEDIA_CONSOLE", "true", boolean)
        # "": the console lies one folder below the gateway's root.
        self.console_gateway_url = read.given("MEDIA_CONSOLE_GATEWAY_URL", http_url) or ""
        self.console_oidc = ConsoleOidc(read)


class WrongSettings(ValueError):
    """The environment cannot be used. ``problems`` has one line for each wrong value."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n  ".join(["these settings are wrong:", *problems]))
        self.problems = list(problems)


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises `WrongSettings` naming every wrong value."""
    read = Reader(environment)
    settings = Settings(read)
    problems = read.problems or list(_contradictions(settings))
    if problems:
        raise WrongSettings(*problems)
    settings.warnings += _doubts(settings, read)
    return settings


def _contradictions(settings: Settings) -> Iterator[str]:
    """Settings that are valid alone, but not together."""
    if not settings.gateway_secret:
        listeners = {
            "MEDIA_LISTEN": settings.listen,
            "MEDIA_INTERNAL_LISTEN": settings.internal_listen,
        }
        for name, address in listeners.items():
            if not address.local_only:
                yield (
                    f"MEDIA_GATEWAY_SECRET: is required because {name}={address} can be reached "
                    "from other machines; set it here and in the gateway, or listen on loopback"
                )
        if settings.gateway_secret_previous:
            yield "MEDIA_GATEWAY_SECRET_PREVIOUS: needs MEDIA_GATEWAY_SECRET beside it"
    s3, oidc = settings.s3, settings.console_oidc
    if settings.storage_backend == "s3" and not s3.bucket:
        yield (
            "MEDIA_S3_BUCKET: is required with MEDIA_STORAGE_BACKEND=s3 (the default); "
            "set the bucket, or MEDIA_STORAGE_BACKEND=local to keep files on this machine"
        )
        # Without a bucket, these are usually missing too: name all at once.
        if not s3.access_key and not s3.secret_key:
            yield (
                "MEDIA_S3_ACCESS_KEY and MEDIA_S3_SECRET_KEY: are not set either; they are "
                "required unless the AWS chain has credentials"
            )
        if not s3.endpoint:
            yield "MEDIA_S3_ENDPOINT: is not set either; it is required unless S3 is AWS's"
    if bool(s3.access_key) != bool(s3.secret_key):
        yield "MEDIA_S3_ACCESS_KEY and MEDIA_S3_SECRET_KEY: set both or neither"
    if bool(oidc.issuer) != bool(oidc.client_id):
        yield "MEDIA_CONSOLE_OIDC_ISSUER and MEDIA_CONSOLE_OIDC_CLIENT_ID: set both or neither"


def _doubts(settings: Settings, read: "Reader") -> Iterator[str]:
    """Settings that work, but are probably a mistake."""
    for name in sorted(read.environment):
        if name.startswith("MEDIA_") and name not in read.defaults:
            (near,) = difflib.get_close_matches(name, list(read.defaults), n=1, cutoff=0.0)
            yield f"{name} is not a setting; did you mean {near}?"
    if settings.sweep_grace < SHORTEST_GRACE:
        yield (
            f"MEDIA_SWEEP_GRACE is below {SHORTEST_GRACE}s: an upload that takes longer to write "
            "has to begin again, and one that dies then may leave bytes for good"
        )
    secrets = (settings.gateway_secret, settings.gateway_secret_previous)
    if any(0 < len(secret) < SHORTEST_SECRET for secret in secrets):
        yield (
            f"MEDIA_GATEWAY_SECRET has fewer than {SHORTEST_SECRET} characters: it can be guessed, "
            "and whoever knows it is everybody. Make one with `openssl rand -hex 32`"
        )


class Reader:
    """Reads variables, and collects what is wrong with each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[str] = []
        self.defaults: dict[str, str] = {}
        """The default of every variable that was read; "" if it has none, or one that depends."""

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


# --- parsers of values: each raises `ValueError`, which says what a value must be


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is: ``host`` and ``port``, or a Unix socket at ``path``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def local_only(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path or self.host == "localhost":
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
        # Part of the password would be read as the host, and appear in every error.
        raise ValueError("must have an @ or / of its password written as %40 or %2F")
    return text


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": DAY, None: 1}


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
    """The bytes of ``20MB`` or ``20MiB`` (both are 1024 * 1024), or of a plain number above 0."""
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
    """A secret that is too long to guess."""
    if len(text) < SHORTEST_SECRET:
        raise ValueError(f"must have at least {SHORTEST_SECRET} characters")
    return text
