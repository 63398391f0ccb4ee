"""Settings: defaults, units, and all wrong values reported at once."""

from pathlib import Path

import pytest
from jan_media.settings import Address, Settings, WrongSettings, load_settings

LOCAL = {"MEDIA_STORAGE_BACKEND": "local"}


def settings(**more: str) -> Settings:
    return load_settings(LOCAL | more)


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(WrongSettings) as caught:
        load_settings(environment)
    return caught.value.problems


def test_the_defaults_are_those_of_the_specification() -> None:
    read = settings()
    assert read.presign_ttl == 300
    assert read.max_bytes == 20 * 1024 * 1024
    assert read.retention_days == 30
    assert read.remote_fetch_timeout == 15
    assert read.proxy_download is True
    assert read.listen == Address("127.0.0.1", 8285)
    assert read.internal_listen == Address("127.0.0.1", 8286)
    assert read.public_url == "http://127.0.0.1:8285"


def test_s3_is_the_default_backend_and_needs_a_bucket() -> None:
    assert any(line.startswith("MEDIA_S3_BUCKET") for line in problems({}))
    read = load_settings({"MEDIA_S3_BUCKET": "media"})
    assert (read.storage_backend, read.s3.bucket) == ("s3", "media")


def test_with_nothing_configured_every_missing_variable_is_named_at_once() -> None:
    named = " ".join(problems({}))
    for name in ("BUCKET", "ACCESS_KEY", "SECRET_KEY", "ENDPOINT"):
        assert f"MEDIA_S3_{name}" in named
    assert "MEDIA_STORAGE_BACKEND=local" in named


def test_the_catalog_is_in_the_data_directory_unless_it_is_elsewhere(tmp_path: Path) -> None:
    read = settings(MEDIA_DATA_DIR=str(tmp_path))
    assert read.database_url == f"sqlite:///{tmp_path}/catalog.db"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("15s", 15), ("5m", 300), ("1h", 3600), ("30d", 2592000), ("7", 7)],
)
def test_durations_take_units_or_plain_seconds(text: str, seconds: float) -> None:
    assert settings(MEDIA_REMOTE_FETCH_TIMEOUT=text).remote_fetch_timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1000", 1000), ("20MB", 20971520), ("20MiB", 20971520), ("64kb", 65536), ("1GiB", 2**30)],
)
def test_sizes_take_bytes_or_units(text: str, size: int) -> None:
    assert settings(MEDIA_MAX_BYTES=text).max_bytes == size


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEDIA_LISTEN", "8285"),
        ("MEDIA_LISTEN", "unix:relative"),
        ("MEDIA_LISTEN", "127.0.0.1:99999"),
        ("MEDIA_PUBLIC_URL", "example.com"),
        ("MEDIA_STORAGE_BACKEND", "gcs"),
        ("MEDIA_DATABASE_URL", "mysql://db"),
        ("MEDIA_S3_PRESIGN_TTL", "5 minutes"),
        ("MEDIA_S3_PRESIGN_TTL", "500ms"),
        ("MEDIA_UPLOAD_TTL", "0"),
        ("MEDIA_MAX_BYTES", "0"),
        ("MEDIA_MAX_BYTES", "20 potatoes"),
        ("MEDIA_RETENTION_DAYS", "-1"),
        ("MEDIA_REMOTE_FETCH_TIMEOUT", "0s"),
        ("MEDIA_PROXY_DOWNLOAD", "maybe"),
        ("MEDIA_ALLOWED_TYPES", "png"),
        ("MEDIA_MAX_PIXELS", "many"),
        ("MEDIA_FETCH_ALLOW", "10.0.0.0/99"),
        ("MEDIA_DATABASE_URL", "postgresql://user:p@ss@db/name"),
        ("MEDIA_DATABASE_URL", "postgresql://user:pa/ss@db/name"),
        ("MEDIA_URL_SECRET", "short"),
        ("MEDIA_WORKERS", "0"),
        ("MEDIA_SIGNING_KEY_FILE", "/does/not/exist"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    assert [line.split(":")[0] for line in problems(LOCAL | {name: value})] == [name]


def test_all_wrong_values_are_named_at_once() -> None:
    wrong = {"MEDIA_MAX_BYTES": "x", "MEDIA_WORKERS": "x", "MEDIA_LISTEN": "x"}
    named = {line.split(":")[0] for line in problems(LOCAL | wrong)}
    assert named == set(wrong)


def test_the_value_of_a_wrong_database_url_is_not_repeated() -> None:
    assert "hunter2" not in "".join(problems(LOCAL | {"MEDIA_DATABASE_URL": "mysql://u:hunter2@h"}))


def test_an_unknown_variable_is_a_warning_with_the_nearest_name() -> None:
    warnings = load_settings(LOCAL | {"MEDIA_MAX_BITES": "1"}).warnings
    assert warnings == ["MEDIA_MAX_BITES is not a setting; did you mean MEDIA_MAX_BYTES?"]


def test_known_variables_give_no_warning() -> None:
    assert load_settings(LOCAL | {"MEDIA_SIGNING_KEY_FILE": "", "PATH": "/bin"}).warnings == []


@pytest.mark.parametrize("name", ["MEDIA_LISTEN", "MEDIA_INTERNAL_LISTEN"])
def test_a_listener_beyond_this_machine_needs_the_gateway_secret(name: str) -> None:
    assert any("MEDIA_GATEWAY_SECRET" in line for line in problems(LOCAL | {name: "0.0.0.0:80"}))
    assert settings(**{name: "0.0.0.0:80", "MEDIA_GATEWAY_SECRET": "s" * 32})


@pytest.mark.parametrize("where", ["unix:/run/x.sock", "127.0.0.1:1", "[::1]:1", "localhost:1"])
def test_a_listener_for_this_machine_needs_no_secret(where: str) -> None:
    assert settings(MEDIA_LISTEN=where, MEDIA_INTERNAL_LISTEN=where).listen.local_only


def test_a_gateway_secret_that_can_be_guessed_is_a_warning_that_does_not_tell_it() -> None:
    (warning,) = load_settings(LOCAL | {"MEDIA_GATEWAY_SECRET": "zebra"}).warnings
    assert "MEDIA_GATEWAY_SECRET has fewer than 16 characters" in warning
    assert "zebra" not in warning


def test_a_grace_that_writes_may_outlast_is_a_warning() -> None:
    (warning,) = load_settings(LOCAL | {"MEDIA_SWEEP_GRACE": "59s"}).warnings
    assert warning.startswith("MEDIA_SWEEP_GRACE is below 60s")
    assert load_settings(LOCAL | {"MEDIA_SWEEP_GRACE": "1m"}).warnings == []


def test_an_issuer_of_the_console_is_kept_letter_by_letter() -> None:
    read = settings(
        MEDIA_CONSOLE_OIDC_ISSUER="https://id.example.com/", MEDIA_CONSOLE_OIDC_CLIENT_ID="console"
    )
    assert read.console_oidc.issuer == "https://id.example.com/"
    assert read.console_oidc.scope == "openid profile"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"ISSUER": "https://id.example.com"}, "MEDIA_CONSOLE_OIDC_CLIENT_ID"),
        ({"CLIENT_ID": "console"}, "MEDIA_CONSOLE_OIDC_ISSUER"),
        ({"ISSUER": "http://id.example.com", "CLIENT_ID": "console"}, "must begin with https"),
        ({"SCOPE": "profile"}, "must have openid among its words"),
    ],
)
def test_a_wrong_provider_of_the_console_is_named(variables: dict[str, str], named: str) -> None:
    given = {f"MEDIA_CONSOLE_OIDC_{name}": value for name, value in variables.items()}
    assert named in " ".join(problems(LOCAL | given))
