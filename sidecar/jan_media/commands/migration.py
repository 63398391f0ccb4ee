"""``jan-media migrate``: from where, to where, and how far it is.

The target is what the environment says, as for every command: the settings that the sidecar will
run with. The source is named by two options, since it is on its way out. What an S3 source needs
besides its bucket's name are the same ``MEDIA_S3_…`` variables; where both ends are S3, the
source's have ``FROM_`` in front. So no secret stands in a command line.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jan_media.catalog.migrations import newest_version
from jan_media.catalog.open import open_catalog
from jan_media.library.move import Moved, Side, move
from jan_media.settings import Settings, WrongSettings, load_settings
from jan_media.sidecar import open_storage

FROM = "FROM_"
REPORT_EVERY = 2.0  # seconds
# Where a library is. None of these may be taken from the target's settings.
_WHERE = ("MEDIA_STORAGE_BACKEND", "MEDIA_DATA_DIR", "MEDIA_DATABASE_URL", "MEDIA_S3_BUCKET")


class CannotMove(Exception):
    """Why nothing was moved; the message is for the operator."""


def source_settings(
    environment: Mapping[str, str], *, from_storage: str, from_database: str
) -> Settings:
    """The settings of the source. Raises `WrongSettings`.

    ``from_storage`` is ``s3://bucket``, or the folder that was the source's MEDIA_DATA_DIR;
    ``from_database`` may be empty if the catalog is in that folder.
    """
    source = {name: value for name, value in environment.items() if name not in _WHERE}
    source |= {
        name.removeprefix(FROM): value
        for name, value in environment.items()
        if name.startswith(f"{FROM}MEDIA_")
    }
    scheme, separator, rest = from_storage.partition("://")
    if scheme == "s3" and separator:
        source |= {"MEDIA_STORAGE_BACKEND": "s3", "MEDIA_S3_BUCKET": rest.strip("/")}
        if environment.get("MEDIA_DATA_DIR"):
            source["MEDIA_DATA_DIR"] = environment["MEDIA_DATA_DIR"]  # for its spool
        if not from_database:
            raise WrongSettings(["--from-database: is required with --from-storage s3://…"])
    elif separator:
        raise WrongSettings(["--from-storage: must be a folder, or s3://bucket"])
    else:
        source |= {"MEDIA_STORAGE_BACKEND": "local", "MEDIA_DATA_DIR": from_storage}
        if not (Path(from_storage) / "objects").is_dir():
            raise WrongSettings(
                [
                    f"--from-storage: there is no folder {from_storage}/objects; name the folder "
                    "that was MEDIA_DATA_DIR"
                ]
            )
    if from_database:
        source["MEDIA_DATABASE_URL"] = from_database
    settings = load_settings(source).settings
    path = settings.database_url.removeprefix("sqlite:///")
    if path != settings.database_url and not Path(path).is_file():
        raise WrongSettings([f"--from-database: there is no file {path}"])
    return settings


def run_move(
    source: Settings,
    target: Settings,
    *,
    jobs: int,
    delete: bool,
    report: Callable[[str], None],
) -> Moved:
    """Move everything, telling ``report`` how far it is every few seconds.

    Raises `CannotMove`, `CatalogUnavailable` and `StorageUnavailable`.
    """
    if source.database_url == target.database_url:
        raise CannotMove(
            "the source and the target are one catalog: MEDIA_DATABASE_URL names the new one"
        )
    if _place(source) == _place(target):
        raise CannotMove(
            "the source and the target are one storage: name another bucket or MEDIA_DATA_DIR for "
            "the new one; objects are copied, and the old ones would stay in it unknown to anybody"
        )
    moved = Moved()
    with ExitStack() as opened:
        old = opened.enter_context(opened_side(source))
        new = opened.enter_context(opened_side(target))
        _require_current(old.catalog.schema_version())
        new.catalog.migrate()
        for side in (old, new):
            side.storage.check()
        in_all = sum(old.catalog.counts()[state] for state in ("media", "pending"))
        opened.enter_context(_reporting(lambda: report(_how_far(moved, in_all))))
        spool_dir = target.data_dir / "spool"
        spool_dir.mkdir(parents=True, exist_ok=True)
        return move(
            old,
            new,
            spool_dir=spool_dir,
            hold_ms=int(target.sweep_grace * 1000),
            jobs=jobs,
            delete=delete,
            moved=moved,
        )


def _place(settings: Settings) -> tuple[str, str]:
    if settings.storage_backend == "local":
        return "local", str((settings.data_dir / "objects").resolve())
    return settings.s3.endpoint, settings.s3.bucket


@contextmanager
def opened_side(settings: Settings) -> Iterator[Side]:
    """The catalog and the storage of the settings, closed in the end.

    Raises `StorageUnavailable` and `ValueError` as `open_storage` does.
    """
    catalog = open_catalog(settings.database_url)
    try:
        storage = open_storage(settings)
        try:
            yield Side(catalog, storage)
        finally:
            storage.close()
    finally:
        catalog.close()


def _require_current(version: int) -> None:
    if version == 0:
        raise CannotMove("there is no catalog in the database that --from-database names")
    if version != newest_version():
        raise CannotMove(
            f"the source's schema is version {version}, not {newest_version()}: use the version "
            "of jan-media on both ends, starting the old sidecar once with it if it is newer"
        )


def _how_far(moved: Moved, in_all: int) -> str:
    return (
        f"{moved.ids} of about {in_all} ids, {moved.objects} objects copied "
        f"({moved.bytes / 1024**2:.1f} MiB)"
    )


@contextmanager
def _reporting(report: Callable[[], None]) -> Iterator[None]:
    """Call ``report`` now, every few seconds, and in the end."""
    done = threading.Event()

    def repeat() -> None:
        while True:
            report()
            if done.wait(REPORT_EVERY):
                report()
                return

    thread = threading.Thread(target=repeat, name="progress")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
