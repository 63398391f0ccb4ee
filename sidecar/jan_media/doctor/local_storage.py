"""The folder of local storage: whether objects can be kept there, and what its clients see."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from jan_media.doctor.finding import Finding, Verdict
from jan_media.settings import Settings

SUBJECT = "data folder"
LITTLE_SPACE = 50  # files of the largest size


def check_local_storage(settings: Settings) -> list[Finding]:
    """Try out MEDIA_DATA_DIR."""
    return [*_folder(settings), *_reach(settings)]


def _folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    probe, link = folder / f".doctor-{os.getpid()}", folder / f".doctor-{os.getpid()}-link"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"jan-media doctor was here")
        linked = _can_link(probe, link)
    except OSError as error:
        yield Finding(
            SUBJECT,
            Verdict.PROBLEM,
            f"{folder} cannot be written ({error.strerror}). Give it to the sidecar's user, or "
            "set MEDIA_DATA_DIR to a folder of its own.",
        )
        return
    finally:
        _remove(probe, link)
    yield Finding(SUBJECT, Verdict.OK, f"{folder} can be written.")
    if not linked:
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            f"{folder} has no hard links, so that every direct upload is copied once more, and "
            "may not be a local disk. SQLite and fsync need one.",
        )
    if (folder / "objects").is_dir() and (folder / "objects").stat().st_mode & 0o007:
        objects = folder / "objects"
        inside = next(objects.iterdir(), None)
        if inside is not None and inside.stat().st_mode & 0o007:
            yield Finding(
                SUBJECT, Verdict.WARNING, f"Others may read {objects}: chmod -R o= {objects}."
            )
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SPACE * settings.max_bytes:
        yield Finding(
            SUBJECT,
            Verdict.WARNING,
            f"{free // 1024**2} MiB are free, less than {LITTLE_SPACE} files of MEDIA_MAX_BYTES. "
            "Make room, or lower MEDIA_RETENTION_DAYS.",
        )


def _reach(settings: Settings) -> Iterator[Finding]:
    if settings.database_url.startswith("postgres"):
        yield Finding(
            "storage",
            Verdict.WARNING,
            "The catalog is PostgreSQL and the objects are a folder: sidecars on other machines "
            "would not find them. Use MEDIA_STORAGE_BACKEND=s3 beyond one machine.",
        )


def _can_link(probe: Path, link: Path) -> bool:
    try:
        os.link(probe, link)
    except OSError:
        return False
    return True


def _remove(*paths: Path) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError:
            continue
