"""All checks, in the order in which one would mend things."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jan_media.doctor.catalog import check_catalog
from jan_media.doctor.finding import Finding, ok, problem, warning
from jan_media.doctor.local_storage import check_local_storage
from jan_media.identity.signing_keys import SigningKeys
from jan_media.settings import Settings
from jan_media.storage.interface import StorageUnavailable
from jan_media.storage.open import open_storage


def examine(
    settings: Settings, *, kong_yml: Path | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Check settings, catalog and storage, and ``kong_yml`` if it is given."""
    yield from _shared_settings(settings)
    yield from check_catalog(settings)
    yield from (
        check_local_storage(settings) if settings.storage_backend == "local" else _s3(settings)
    )
    if kong_yml is not None:
        yield from _kong(kong_yml, settings, environment)


def _shared_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that other sidecars, or the gateway, must agree with."""
    if settings.signing_key:
        try:
            SigningKeys.from_pem(settings.signing_key, settings.signing_key_previous)
        except ValueError as error:
            yield problem("settings", f"{error} Correct MEDIA_SIGNING_KEY (or …_FILE).")
    elif settings.guest_login and settings.database_url.startswith("postgres"):
        yield warning(
            "settings",
            "Each machine makes a signing key of its own, so guest tokens of one sidecar are "
            "refused where another one's keys are read. Set MEDIA_SIGNING_KEY_FILE to one key on "
            "all.",
        )
    if settings.gateway_secret_previous:
        yield warning(
            "settings",
            "MEDIA_GATEWAY_SECRET_PREVIOUS is still accepted: remove it once every gateway has "
            "the new secret.",
        )
    yield ok("settings", "Every setting can be read.")


def _s3(settings: Settings) -> Iterator[Finding]:
    try:
        storage = open_storage(settings)
    except (StorageUnavailable, ValueError) as error:
        yield problem("credentials", str(error))
        return
    try:
        yield from storage.diagnose()
    finally:
        storage.close()


def _kong(path: Path, settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    # Here, since nothing else of the sidecar reads YAML.
    from jan_media.doctor.kong_yml import check_kong_yml

    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        yield problem("kong.yml", f"--kong {path} cannot be read: {error}")
        return
    yield from check_kong_yml(text, settings, environment)
