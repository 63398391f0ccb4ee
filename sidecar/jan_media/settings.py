"""Every setting of the sidecar, read from the environment and checked all at once.

Durations take ``500ms``, ``15s``, ``5m``, ``1h``, ``30d`` or plain seconds; sizes take bytes or
``20MB``, ``20MiB`` (both are 1024 * 1024 bytes). `load_settings` names every wrong value at once.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from jan_media.content.allowed_types import AllowedTypes
from jan_media.fetch.policy import FetchPolicy

T = TypeVar("T")

DEFAULT_ALLOWED_TYPES = (
    "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff,image/avif,"
    "image/heic,image/heif"
)

SHORTEST_GRACE = 60  # seconds: longer than any one write should take
SHORTEST_SECRET = 16  # characters


class WrongSettings(Exception):
    """The environment cannot be used. ``problems`` has one line for each wrong value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Which bucket of which S3, and how to reach it. Empty strings mean: as the AWS chain says."""

    endpoint: str
    public_endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str
    use_path_style: bool


@dataclass(frozen=True, slots=True)
class ConsoleOidc:
    """With which provider of OpenID Connect people sign in on the console. No issuer: with none."""

    issuer: str
    client_id: str
    scope: str
    audience: str  # sent where a provider wants one asked for


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decided. Durations are seconds unless a name says otherwise."""

    listen: Address
    internal_listen: Address
    public_url: str
    storage_backend: str
    data_dir: Path
    database_url: str
    s3: S3Settings
    presign_ttl: int
    llm_url_ttl: int  # of the URLs that a model gets
    upload_ttl: int
    max_bytes: int
    retention_days: float
    remote_fetch_timeout: float
    proxy_download: bool
    allowed_types: AllowedTypes
    max_pixels: int
    quota_bytes: int  # what one owner may keep, 0: without limit
    quota_files: int
    guest_quota_bytes: int  # what a guest of this installation may
    guest_quota_files: int
    fetch_allow: str  # a comma list of CIDRs and host names, checked
    fetch_deny: str
    gateway_secret: str
    gateway_secret_previous: str
    issuer: str
    audience: str
    guest_login: bool
    guest_token_ttl: int
    guest_login_per_minute: int  # for one client address and worker; 0: no limit
    signing_key: str  # PEM, "" to keep one in the data directory
    signing_key_previous: str
    url_secret: str  # "" to keep one in the data directory
    sweep_interval: float
    sweep_grace: float
    workers: int
    max_uploads: int
    max_fetches: int
    console: bool
    console_gateway_url: str  # "" where the console lies one folder below the gateway's root
    console_oidc: ConsoleOidc


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what an operator should be told about them."""

    settings: Settings
    warnings: list[str]


def load_settings(environment: Mapping[str, str]) -> Loaded:
    """Read the settings. Raises `WrongSettings` naming every wrong value."""
    read = _Reader(environment)
    listen = read("MEDIA_LISTEN", "127.0.0.1:8285", _address)
    internal_listen = read("MEDIA_INTERNAL_LISTEN", "127.0.0.1:8286", _address)
    data_dir = read("MEDIA_DATA_DIR", "./var/media", lambda text: Path(text).absolute())
    backend = read("MEDIA_STORAGE_BACKEND", "s3", _one_of("s3", "local"))
    presign_ttl = read("MEDIA_S3_PRESIGN_TTL", "5m", _whole_seconds(1, 7 * 86400))
    settings = Settings(
        listen=listen,
        internal_listen=internal_listen,
        public_url=read("MEDIA_PUBLIC_URL", _default_public_url(listen), _http_url),
        storage_backend=backend,
        data_dir=data_dir,
        database_url=read("MEDIA_DATABASE_URL", f"sqlite:///{data_dir}/catalog.db", _database_url),
        s3=S3Settings(
            endpoint=read("MEDIA_S3_ENDPOINT", "", _optional(_http_url)),
            public_endpoint=read("MEDIA_S3_PUBLIC_ENDPOINT", "", _optional(_http_url)),
            region=read("MEDIA_S3_REGION", _aws_region(environment), str),
            bucket=read("MEDIA_S3_BUCKET", "", str),
            access_key=read("MEDIA_S3_ACCESS_KEY", "", str),
            secret_key=read("MEDIA_S3_SECRET_KEY", "", str),
            use_path_style=read(
                "MEDIA_S3_USE_PATH_STYLE",
                # AWS wants the bucket in the host name, most other services in the path.
                "true" if environment.get("MEDIA_S3_ENDPOINT") else "false",
                _boolean,
            ),
        ),
        presign_ttl=presign_ttl,
        llm_url_ttl=read("MEDIA_LLM_URL_TTL", f"{presign_ttl}s", _whole_seconds(1, 7 * 86400)),
        upload_ttl=read("MEDIA_UPLOAD_TTL", "15m", _whole_seconds(1, 7 * 86400)),
        max_bytes=read("MEDIA_MAX_BYTES", "20971520", _size),
        retention_days=read("MEDIA_RETENTION_DAYS", "30", _positive_number),
        remote_fetch_timeout=read("MEDIA_REMOTE_FETCH_TIMEOUT", "15s", _positive_duration),
        proxy_download=read("MEDIA_PROXY_DOWNLOAD", "true", _boolean),
        allowed_types=read("MEDIA_ALLOWED_TYPES", DEFAULT_ALLOWED_TYPES, AllowedTypes),
        max_pixels=read("MEDIA_MAX_PIXELS", "100000000", _integer(1)),
        quota_bytes=read("MEDIA_QUOTA_BYTES", "20GiB", _size_or_none),
        quota_files=read("MEDIA_QUOTA_FILES", "200000", _integer(0)),
        guest_quota_bytes=read("MEDIA_GUEST_QUOTA_BYTES", "1GiB", _size_or_none),
        guest_quota_files=read("MEDIA_GUEST_QUOTA_FILES", "10000", _integer(0)),
        fetch_allow=read("MEDIA_FETCH_ALLOW", "", _places),
        fetch_deny=read("MEDIA_FETCH_DENY", "", _places),
        gateway_secret=read("MEDIA_GATEWAY_SECRET", "", str),
        gateway_secret_previous=read("MEDIA_GATEWAY_SECRET_PREVIOUS", "", str),
        issuer=read("MEDIA_ISSUER", "http://localhost:8000/llm", str),
        audience=read("MEDIA_AUDIENCE", "jan", str),
        guest_login=read("MEDIA_GUEST_LOGIN", "true", _boolean),
        guest_token_ttl=read("MEDIA_GUEST_TOKEN_TTL", "24h", _whole_seconds(1, 366 * 86400)),
        guest_login_per_minute=read("MEDIA_GUEST_LOGIN_PER_MINUTE", "120", _integer(0, 1_000_000)),
        signing_key=read.text_or_file("MEDIA_SIGNING_KEY"),
        signing_key_previous=read.text_or_file("MEDIA_SIGNING_KEY_PREVIOUS"),
        url_secret=read("MEDIA_URL_SECRET", "", _optional(_secret)),
        sweep_interval=read("MEDIA_SWEEP_INTERVAL", "10m", duration),
        sweep_grace=read("MEDIA_SWEEP_GRACE", "1h", duration),
        workers=read("MEDIA_WORKERS", "1", _integer(1, 64)),
        max_uploads=read("MEDIA_MAX_UPLOADS", "32", _integer(1, 10_000)),
        max_fetches=read("MEDIA_MAX_FETCHES", "16", _integer(1, 10_000)),
        console=read("MEDIA_CONSOLE", "true", _boolean),
        console_gateway_url=read("MEDIA_CONSOLE_GATEWAY_URL", "", _optional(_http_url)),
        console_oidc=ConsoleOidc(
            issuer=read("MEDIA_CONSOLE_OIDC_ISSUER", "", _optional(_issuer)),
            client_id=read("MEDIA_CONSOLE_OIDC_CLIENT_ID", "", str),
            scope=read("MEDIA_CONSOLE_OIDC_SCOPE", "openid profile", _scope),
            audience=read("MEDIA_CONSOLE_OIDC_AUDIENCE", "", str),
        ),
    )
    problems = read.problems + ([] if read.problems else _contradictions(settings))
    if problems:
        raise WrongSettings(problems)
    warnings = _unknown_variables(environment, read.known) + _doubtful(settings)
    return Loaded(settings, warnings)


def _contradictions(settings: Settings) -> list[str]:
    """Settings that are fine alone and wrong together."""
    problems = []
    if not settings.gateway_secret:
        for name, address in (
            ("MEDIA_LISTEN", settings.listen),
            ("MEDIA_INTERNAL_LISTEN", settings.internal_listen),
        ):
            if not address.local_only:
                problems.append(
                    f"MEDIA_GATEWAY_SECRET: is required because {name}={address} can be reached "
                    "from other machines; set it here and in the gateway, or listen on loopback"
                )
        if settings.gateway_secret_previous:
            problems.append("MEDIA_GATEWAY_SECRET_PREVIOUS: needs MEDIA_GATEWAY_SECRET beside it")
    if settings.storage_backend == "s3" and not settings.s3.bucket:
        problems.append(
            "MEDIA_S3_BUCKET: is required with MEDIA_STORAGE_BACKEND=s3 (the default); "
            "set the bucket, or MEDIA_STORAGE_BACKEND=local to keep files on this machine"
        )
        problems += _also_unset(settings.s3)
    if bool(settings.s3.access_key) != bool(settings.s3.secret_key):
        problems.append("MEDIA_S3_ACCESS_KEY and MEDIA_S3_SECRET_KEY: set both or neither")
    if bool(settings.console_oidc.issuer) != bool(settings.console_oidc.client_id):
        problems.append(
            "MEDIA_CONSOLE_OIDC_ISSUER and MEDIA_CONSOLE_OIDC_CLIENT_ID: set both or neither"
        )
    return problems


def _also_unset(s3: S3Settings) -> list[str]:
    """What else to think of for somebody who has not chosen a bucket yet."""
    unset = []
    if not s3.access_key and not s3.secret_key:
        unset.append(
            "MEDIA_S3_ACCESS_KEY and MEDIA_S3_SECRET_KEY: are not set either; they are required "
            "unless the AWS chain has credentials"
        )
    if not s3.endpoint:
        unset.append("MEDIA_S3_ENDPOINT: is not set either; it is required unless S3 is AWS's")
    return unset


def _doubtful(settings: Settings) -> list[str]:
    """What works and is hardly meant."""
    doubts = []
    if settings.sweep_grace < SHORTEST_GRACE:
        doubts.append(
            f"MEDIA_SWEEP_GRACE is below {SHORTEST_GRACE}s: an upload that takes longer to write "
            "has to begin again, and one that dies then may leave bytes for good"
        )
    secrets = (settings.gateway_secret, settings.gateway_secret_previous)
    if any(0 < len(secret) < SHORTEST_SECRET for secret in secrets):
        doubts.append(
            f"MEDIA_GATEWAY_SECRET has fewer than {SHORTEST_SECRET} characters: it can be guessed, "
            "and whoever knows it is everybody. Make one with `openssl rand -hex 32`"
        )
    return doubts


def _unknown_variables(environment: Mapping[str, str], known: list[str]) -> list[str]:
    warnings = []
    for name in sorted(environment):
        if name.startswith("MEDIA_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            warnings.append(f"{name} is not a setting; did you mean {near[0]}?")
    return warnings


class _Reader:
    """Reads one variable at a time and collects what is wrong with each."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.known: list[str] = []
        self.problems: list[str] = []

    def __call__(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        self.known.append(name)
        text = self.environment.get(name, "").strip() or default
        try:
            return parse(text)
        except ValueError as problem:
            self.problems.append(f"{name}: {problem}")
            return parse(default)

    def text_or_file(self, name: str) -> str:
        """The value of ``name``, or the text of the file that ``name``_FILE names."""
        text = self(name, "", str)
        path = self(f"{name}_FILE", "", str)
        if text and path:
            self.problems.append(f"{name}: set it or {name}_FILE, not both")
        if path:
            try:
                return Path(path).read_text()
            except (OSError, UnicodeDecodeError):
                self.problems.append(f"{name}_FILE: the file cannot be read")
        return text


def _aws_region(environment: Mapping[str, str]) -> str:
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"


def _default_public_url(listen: Address) -> str:
    return "http://localhost" if listen.path else f"http://{listen}"


def _address(text: str) -> Address:
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError("a Unix socket needs an absolute path, as in unix:/run/jan-media.sock")
        return Address(path=path)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"must be host:port or unix:/path, not {text!r}")
    return Address(host=host.strip("[]"), port=int(port))


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL that begins with http:// or https://")
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be a plain base URL: no query, fragment or credentials")
    return text.rstrip("/")


def _issuer(text: str) -> str:
    """An issuer, letter by letter: a slash at its end counts."""
    parts = urlsplit(_http_url(text))
    if parts.scheme == "http" and not Address(host=parts.hostname or "").local_only:
        raise ValueError("must begin with https://, but on this machine")
    return text


def _scope(text: str) -> str:
    if "openid" not in text.split():
        raise ValueError(f"must have openid among its words, as in 'openid profile', not {text!r}")
    return text


def _database_url(text: str) -> str:
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


def _positive_duration(text: str) -> float:
    seconds = duration(text)
    if not seconds:
        raise ValueError("must be longer than 0")
    return seconds


def _whole_seconds(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        seconds = duration(text)
        if not least <= seconds <= most or seconds != int(seconds):
            raise ValueError(f"must be whole seconds between {least}s and {most}s, not {text!r}")
        return int(seconds)

    return parse


_SIZE = re.compile(r"(\d+)\s*(?:(k|m|g)i?b)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _UNITS[(match[2] or "").lower()] if match else 0
    if not size:
        raise ValueError(f"must be a size in bytes above 0, or as in 20MB, not {text!r}")
    return size


def _size_or_none(text: str) -> int:
    return 0 if text == "0" else _size(text)


def _positive_number(text: str) -> float:
    number = float(text) if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else 0.0
    if not number:
        raise ValueError(f"must be a number above 0, not {text!r}")
    return number


def _integer(least: int, most: int | None = None) -> Callable[[str], int]:
    wanted = f"at least {least}" if most is None else f"between {least} and {most}"

    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else -1
        if number < least or (most is not None and number > most):
            raise ValueError(f"must be a whole number, {wanted}, not {text!r}")
        return number

    return parse


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}, not {text!r}")
        return text

    return parse


def _optional(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: parse(text) if text else ""


def _secret(text: str) -> str:
    if len(text) < SHORTEST_SECRET:
        raise ValueError(f"must have at least {SHORTEST_SECRET} characters")
    return text


def _places(text: str) -> str:
    FetchPolicy(allow=text)  # raises ValueError naming the entries that are none
    return text
