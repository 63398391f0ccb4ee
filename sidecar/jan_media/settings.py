"""Every setting of the sidecar, read from the environment and checked all at once.

A setting is one field: its variable, its default and what reads it (see `environment`). Its line in
docs/configuration.md is all that it needs besides.
"""

# ruff: noqa: RUF009 (setting and group declare a field, as dataclasses.field does)

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
    group,
    http_url,
    integer,
    oidc_issuer,
    oidc_scope,
    one_of,
    optional,
    places,
    positive_duration,
    positive_number,
    secret,
    setting,
    size,
    size_or_none,
    text_or_file,
    variables,
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


def _public_url(read: Reader) -> str:
    listen: Address = read["MEDIA_LISTEN"]
    return "http://localhost" if listen.path else f"http://{listen}"


def _aws_region(read: Reader) -> str:
    aws = read.environment
    return aws.get("AWS_REGION") or aws.get("AWS_DEFAULT_REGION") or "us-east-1"


def _path_style(read: Reader) -> str:
    """AWS wants the bucket in the host name, most other services in the path."""
    return "true" if read["MEDIA_S3_ENDPOINT"] else "false"


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Which bucket of which S3, and how to reach it. Empty strings mean: as the AWS chain says."""

    endpoint: str = setting("MEDIA_S3_ENDPOINT", "", optional(http_url))
    public_endpoint: str = setting("MEDIA_S3_PUBLIC_ENDPOINT", "", optional(http_url))
    region: str = setting("MEDIA_S3_REGION", _aws_region, str)
    bucket: str = setting("MEDIA_S3_BUCKET", "", str)
    access_key: str = setting("MEDIA_S3_ACCESS_KEY", "", str)
    secret_key: str = setting("MEDIA_S3_SECRET_KEY", "", str)
    use_path_style: bool = setting("MEDIA_S3_USE_PATH_STYLE", _path_style, boolean)


@dataclass(frozen=True, slots=True)
class ConsoleOidc:
    """With which provider of OpenID Connect people sign in on the console. No issuer: with none."""

    issuer: str = setting("MEDIA_CONSOLE_OIDC_ISSUER", "", optional(oidc_issuer))
    client_id: str = setting("MEDIA_CONSOLE_OIDC_CLIENT_ID", "", str)
    scope: str = setting("MEDIA_CONSOLE_OIDC_SCOPE", "openid profile", oidc_scope)
    audience: str = setting("MEDIA_CONSOLE_OIDC_AUDIENCE", "", str)  # where a provider wants one


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decided. Durations are seconds unless a name says otherwise."""

    listen: Address = setting("MEDIA_LISTEN", "127.0.0.1:8285", address)
    internal_listen: Address = setting("MEDIA_INTERNAL_LISTEN", "127.0.0.1:8286", address)
    public_url: str = setting("MEDIA_PUBLIC_URL", _public_url, http_url)
    workers: int = setting("MEDIA_WORKERS", "1", integer(1, 64))
    gateway_secret: str = setting("MEDIA_GATEWAY_SECRET", "", str)
    gateway_secret_previous: str = setting("MEDIA_GATEWAY_SECRET_PREVIOUS", "", str)

    storage_backend: str = setting("MEDIA_STORAGE_BACKEND", "s3", one_of("s3", "local"))
    data_dir: Path = setting("MEDIA_DATA_DIR", "./var/media", lambda text: Path(text).absolute())
    database_url: str = setting(
        "MEDIA_DATABASE_URL",
        lambda read: f"sqlite:///{read['MEDIA_DATA_DIR']}/catalog.db",
        database_url,
    )
    s3: S3Settings = group(S3Settings)
    presign_ttl: int = setting("MEDIA_S3_PRESIGN_TTL", "5m", whole_seconds(1, 7 * _DAY))
    llm_url_ttl: int = setting(  # of the URLs that a model gets
        "MEDIA_LLM_URL_TTL",
        lambda read: f"{read['MEDIA_S3_PRESIGN_TTL']}s",
        whole_seconds(1, 7 * _DAY),
    )
    upload_ttl: int = setting("MEDIA_UPLOAD_TTL", "15m", whole_seconds(1, 7 * _DAY))
    url_secret: str = setting("MEDIA_URL_SECRET", "", optional(secret))  # "": one in the data_dir

    max_bytes: int = setting("MEDIA_MAX_BYTES", "20971520", size)
    allowed_types: AllowedTypes = setting(
        "MEDIA_ALLOWED_TYPES", DEFAULT_ALLOWED_TYPES, AllowedTypes
    )
    # Besides those, where a file id or inline: store asks.
    file_types: AllowedTypes = setting("MEDIA_FILE_TYPES", DEFAULT_FILE_TYPES, AllowedTypes)
    max_pixels: int = setting("MEDIA_MAX_PIXELS", "100000000", integer(1))
    # Of pictures as they are uploaded, in the limits that routes have asked for lately.
    renditions_ahead: bool = setting("MEDIA_RENDITIONS_AHEAD", "false", boolean)
    quota_bytes: int = setting("MEDIA_QUOTA_BYTES", "20GiB", size_or_none)  # of one owner
    quota_files: int = setting("MEDIA_QUOTA_FILES", "200000", integer(0))
    guest_quota_bytes: int = setting("MEDIA_GUEST_QUOTA_BYTES", "1GiB", size_or_none)
    guest_quota_files: int = setting("MEDIA_GUEST_QUOTA_FILES", "10000", integer(0))
    retention_days: float = setting("MEDIA_RETENTION_DAYS", "30", positive_number)
    sweep_interval: float = setting("MEDIA_SWEEP_INTERVAL", "10m", duration)
    sweep_grace: float = setting("MEDIA_SWEEP_GRACE", "1h", duration)
    proxy_download: bool = setting("MEDIA_PROXY_DOWNLOAD", "true", boolean)
    max_uploads: int = setting("MEDIA_MAX_UPLOADS", "32", integer(1, 10_000))
    max_fetches: int = setting("MEDIA_MAX_FETCHES", "16", integer(1, 10_000))

    remote_fetch_timeout: float = setting("MEDIA_REMOTE_FETCH_TIMEOUT", "15s", positive_duration)
    fetch_allow: str = setting("MEDIA_FETCH_ALLOW", "", places)  # CIDRs and host names
    fetch_deny: str = setting("MEDIA_FETCH_DENY", "", places)

    issuer: str = setting("MEDIA_ISSUER", "http://localhost:8000/llm", str)
    audience: str = setting("MEDIA_AUDIENCE", "jan", str)
    guest_login: bool = setting("MEDIA_GUEST_LOGIN", "true", boolean)
    guest_token_ttl: int = setting("MEDIA_GUEST_TOKEN_TTL", "24h", whole_seconds(1, 366 * _DAY))
    guest_login_per_minute: int = setting(  # for one client address and worker; 0: no limit
        "MEDIA_GUEST_LOGIN_PER_MINUTE", "120", integer(0, 1_000_000)
    )
    signing_key: str = text_or_file("MEDIA_SIGNING_KEY")  # PEM; "": one in the data_dir
    signing_key_previous: str = text_or_file("MEDIA_SIGNING_KEY_PREVIOUS")

    log_format: str = setting("MEDIA_LOG_FORMAT", "text", one_of(*FORMATS))
    console: bool = setting("MEDIA_CONSOLE", "true", boolean)
    console_gateway_url: str = setting(  # "": the console lies one folder below the gateway's root
        "MEDIA_CONSOLE_GATEWAY_URL", "", optional(http_url)
    )
    console_oidc: ConsoleOidc = group(ConsoleOidc)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and what an operator should be told about them."""

    settings: Settings
    warnings: list[str]


def load_settings(environment: Mapping[str, str]) -> Loaded:
    """Read the settings. Raises `WrongSettings` naming every wrong value."""
    reader = Reader(environment)
    settings = reader.read(Settings)
    problems = reader.problems or _contradictions(settings)
    if problems:
        raise WrongSettings(problems)
    known = [name for name, _ in variables(Settings)]
    return Loaded(settings, _unknown_variables(environment, known) + _doubtful(settings))


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
