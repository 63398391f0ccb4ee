"""Every setting of the sidecar, read from the environment and checked all at once.

A setting is one line: its variable, its default and what reads it (see `environment`). Its line in
docs/configuration.md is all that it needs besides.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jan_media.content.allowed_types import AllowedTypes
from jan_media.environment import (
    SHORTEST_SECRET,
    Address,
    Reader,
    address,
    boolean,
    database_url,
    duration,
    http_url,
    integer,
    oidc_issuer,
    oidc_scope,
    one_of,
    places,
    positive_duration,
    positive_number,
    secret,
    size,
    size_or_none,
    whole_seconds,
)
from jan_media.log import FORMATS

__all__ = ["Address", "Settings", "WrongSettings", "duration", "load_settings"]

DEFAULT_ALLOWED_TYPES = (
    "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/tiff,image/avif,"
    "image/heic,image/heif"
)
DEFAULT_FILE_TYPES = "application/pdf,audio/wav,audio/mpeg"
SHORTEST_GRACE = 60  # seconds: longer than any one write should take
_DAY = 86400  # seconds


class WrongSettings(ValueError):
    """The environment cannot be used. ``problems`` has one line for each wrong value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n  ".join(["these settings are wrong:", *problems]))
        self.problems = problems


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


def _s3(read: Reader) -> S3Settings:
    endpoint = read.given("MEDIA_S3_ENDPOINT", http_url) or ""
    aws = read.environment
    aws_region = aws.get("AWS_REGION") or aws.get("AWS_DEFAULT_REGION") or "us-east-1"
    path_style = read.given("MEDIA_S3_USE_PATH_STYLE", boolean)
    return S3Settings(
        endpoint,
        public_endpoint=read.given("MEDIA_S3_PUBLIC_ENDPOINT", http_url) or "",
        region=read.given("MEDIA_S3_REGION", str) or aws_region,
        bucket=read("MEDIA_S3_BUCKET", "", str),
        access_key=read("MEDIA_S3_ACCESS_KEY", "", str),
        secret_key=read("MEDIA_S3_SECRET_KEY", "", str),
        # AWS wants the bucket in the host name, most other services in the path.
        use_path_style=bool(endpoint) if path_style is None else path_style,
    )


@dataclass(frozen=True, slots=True)
class ConsoleOidc:
    """With which provider of OpenID Connect people sign in on the console. No issuer: with none."""

    issuer: str
    client_id: str
    scope: str
    audience: str  # where a provider wants one


class Settings:
    """What an operator decided. Durations are seconds unless a name says otherwise."""

    def __init__(self, read: Reader) -> None:
        """Read them. What is wrong, and has its default here, is in ``read.problems``."""
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
        self.s3 = _s3(read)
        lifetime = whole_seconds(1, 7 * _DAY)
        self.presign_ttl = read("MEDIA_S3_PRESIGN_TTL", "5m", lifetime)
        # Of the URLs that a model gets.
        self.llm_url_ttl = read.given("MEDIA_LLM_URL_TTL", lifetime) or self.presign_ttl
        self.upload_ttl = read("MEDIA_UPLOAD_TTL", "15m", lifetime)
        self.url_secret = read.given("MEDIA_URL_SECRET", secret) or ""  # "": one in the data_dir

        self.max_bytes = read("MEDIA_MAX_BYTES", "20971520", size)
        self.allowed_types = read("MEDIA_ALLOWED_TYPES", DEFAULT_ALLOWED_TYPES, AllowedTypes)
        # Besides those, where a file id or inline: store asks.
        self.file_types = read("MEDIA_FILE_TYPES", DEFAULT_FILE_TYPES, AllowedTypes)
        self.max_pixels = read("MEDIA_MAX_PIXELS", "100000000", integer(1))
        # Of pictures as they are uploaded, in the limits that routes have asked for lately.
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
        self.fetch_allow = read("MEDIA_FETCH_ALLOW", "", places)  # CIDRs and host names
        self.fetch_deny = read("MEDIA_FETCH_DENY", "", places)

        self.issuer = read("MEDIA_ISSUER", "http://localhost:8000/llm", str)
        self.audience = read("MEDIA_AUDIENCE", "jan", str)
        self.guest_login = read("MEDIA_GUEST_LOGIN", "true", boolean)
        self.guest_token_ttl = read("MEDIA_GUEST_TOKEN_TTL", "24h", whole_seconds(1, 366 * _DAY))
        # For one client address and worker; 0: no limit.
        per_minute = read("MEDIA_GUEST_LOGIN_PER_MINUTE", "120", integer(0, 1_000_000))
        self.guest_login_per_minute = per_minute
        # PEM; "": one in the data_dir.
        self.signing_key = read.text_or_file("MEDIA_SIGNING_KEY")
        self.signing_key_previous = read.text_or_file("MEDIA_SIGNING_KEY_PREVIOUS")

        self.log_format = read("MEDIA_LOG_FORMAT", "text", one_of(*FORMATS))
        self.console = read("MEDIA_CONSOLE", "true", boolean)
        # "": the console lies one folder below the gateway's root.
        self.console_gateway_url = read.given("MEDIA_CONSOLE_GATEWAY_URL", http_url) or ""
        self.console_oidc = ConsoleOidc(
            issuer=read.given("MEDIA_CONSOLE_OIDC_ISSUER", oidc_issuer) or "",
            client_id=read("MEDIA_CONSOLE_OIDC_CLIENT_ID", "", str),
            scope=read("MEDIA_CONSOLE_OIDC_SCOPE", "openid profile", oidc_scope),
            audience=read("MEDIA_CONSOLE_OIDC_AUDIENCE", "", str),
        )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what an operator should be told about them."""

    settings: Settings
    warnings: list[str]


def load_settings(environment: Mapping[str, str]) -> Loaded:
    """Read the settings. Raises `WrongSettings` naming every wrong value."""
    reader = Reader(environment)
    settings = Settings(reader)
    problems = reader.problems or _contradictions(settings)
    if problems:
        raise WrongSettings(problems)
    unknown = _unknown_variables(environment, list(reader.defaults))
    return Loaded(settings, unknown + _doubtful(settings))


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
