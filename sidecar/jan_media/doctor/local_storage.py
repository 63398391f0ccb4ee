"""The folder of local storage: whether objects can be kept there, and what its clients see."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from jan_media.doctor.finding import Finding, ok, problem, warning
from jan_media.settings import Settings

SUBJECT = "data folder"
LITTLE_SPACE = 50  # files of the largest size


def check_local_storage(settings: Settings) -> Iterator[Finding]:
    """Try out MEDIA_DATA_DIR."""
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        linked = _can_link(folder)
    except OSError as error:
        yield problem(
            SUBJECT,
            f"{folder} cannot be written ({error.strerror}). Give it to the sidecar's user, or "
            "set MEDIA_DATA_DIR to a folder of its own.",
        )
        return
    yield ok(SUBJECT, f"{folder} can be written.")
    if not linked:
        yield warning(
            SUBJECT,
            f"{folder} has no hard links, so that every direct upload is copied once more, and "
            "may not be a local disk. SQLite and fsync need one.",
        )
    objects = folder / "objects"
    if objects.is_dir() and all(
        each.stat().st_mode & 0o007 for each in (objects, next(objects.iterdir(), objects))
    ):
        yield warning(SUBJECT, f"Others may read {objects}: chmod -R o= {objects}.")
    free = shutil.disk_usage(folder).free
    if free < LITTLE_SPACE * settings.max_bytes:
        yield warning(
            SUBJECT,
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
