"""All checks, in the order in which an operator would fix things."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from jan_media.doctor.catalog import check_catalog
from jan_media.doctor.finding import Finding, ok, problem, warning
from jan_media.doctor.kong_yml import check_kong_yml
from jan_media.identity.signing_keys import SigningKeys
from jan_media.settings import Settings
from jan_media.storage.interface import StorageUnavailable
from jan_media.storage.open import open_storage

LITTLE_SPACE = 50  # files of the largest size


def examine(settings: Settings, kong_yml: Path | None) -> Iterator[Finding]:
    """Check settings, catalog and storage, and ``kong_yml`` if it is given."""
    yield from _shared_settings(settings)
    yield from check_catalog(settings)
    yield from (_local(settings) if settings.storage_backend == "local" else _s3(settings))
    if kong_yml is not None:
        try:
            yield from check_kong_yml(kong_yml.read_text("utf-8"), settings, os.environ)
        except (OSError, UnicodeDecodeError) as error:
            yield problem("kong.yml", f"--kong {kong_yml} cannot be read: {error}")


def _shared_settings(settings: Settings) -> Iterator[Finding]:
    """Settings that other sidecars, or the gateway, must agree with."""
    if settings.signing_key:
        try:
            SigningKeys(settings.signing_key, settings.signing_key_previous)
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


def _local(settings: Settings) -> Iterator[Finding]:
    """Check MEDIA_DATA_DIR by writing to it."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        linked = _can_link(folder)
    except OSError as error:
        yield problem(
            "data folder",
            f"{folder} cannot be written ({error.strerror}). Give it to the sidecar's user, or "
            "set MEDIA_DATA_DIR to a folder of its own.",
        )
        return
    yield ok("data folder", f"{folder} can be written.")
    if not linked:
        yield warning(
            "data folder",
            f"{folder} has no hard links, so that every direct upload is copied once more, and "
            "may not be a local disk. SQLite and fsync need one.",
        )
    objects = folder / "objects"
    if objects.is_dir() and all(
        each.stat().st_mode & 0o007 for each in (objects, next(objects.iterdir(), objects))
    ):
        yield warning("data folder", f"Others may read {objects}: chmod -R o= {objects}.")
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SPACE * settings.max_bytes:
        yield warning(
            "data folder",
            f"{free // 1024**2} MiB are free, less than {LITTLE_SPACE} files of MEDIA_MAX_BYTES. "
            "Make room, or lower MEDIA_RETENTION_DAYS.",
        )
    if settings.database_url.startswith("postgres"):
        yield warning(
            "storage",
            "The catalog is PostgreSQL and the objects are a folder: sidecars on other machines "
            "would not find them. Use MEDIA_STORAGE_BACKEND=s3 beyond one machine.",
        )


def _can_link(folder: Path) -> bool:
    """Whether a file in the folder can have two names. Raises `OSError` if none can be made."""
    with TemporaryDirectory(dir=folder, prefix=".doctor-") as probes:
        probe = Path(probes, "probe")
        probe.write_bytes(b"jan-media doctor was here")
        with suppress(OSError):
            os.link(probe, Path(probes, "link"))
            return True
    return False


def _s3(settings: Settings) -> Iterator[Finding]:
    try:
        storage = open_storage(settings)
    except (StorageUnavailable, ValueError) as error:
        yield problem("credentials", str(error))
        return
    with closing(storage):
        yield from storage.diagnose()
