"""``jan-media migrate``: from where, to where, and how far it is.

The target is what the environment says, as for every command: the settings that the sidecar will
run with. The source is named by two options, since it is on its way out. What an S3 source needs
besides its bucket's name are the same ``MEDIA_S3_…`` variables; where both ends are S3, the
source's have ``FROM_`` in front. So no secret stands in a command line.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.commands.entry import fail, fail_for, settings_of_environment
from jan_media.commands.opened import opened_side
from jan_media.commands.terminal import AsJson, print_json, progress
from jan_media.content.allowed_types import AllowedTypes
from jan_media.settings import Settings, WrongSettings, load_settings
from jan_media.storage.interface import StorageUnavailable

if TYPE_CHECKING:
    from jan_media.library.move import Moved, Source

FROM = "FROM_"
# Where a library is. None of these may be taken from the target's settings.
_WHERE = ("MEDIA_STORAGE_BACKEND", "MEDIA_DATA_DIR", "MEDIA_DATABASE_URL", "MEDIA_S3_BUCKET")


class CannotMove(Exception):
    """Why nothing was moved; the message is for the operator."""


def migrate(
    from_storage: Annotated[
        str,
        typer.Option(help="Where the objects are: the old MEDIA_DATA_DIR, or s3://bucket."),
    ],
    from_database: Annotated[
        str,
        typer.Option(help="The old MEDIA_DATABASE_URL; by default catalog.db in that folder."),
    ] = "",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Objects copied at once.")] = 4,
    delete: Annotated[
        bool,
        typer.Option(
            help="Give up what the source does not have: for the last of several runs, before "
            "anything uses the target."
        ),
    ] = False,
    from_jan_server: Annotated[
        str,
        typer.Option(
            metavar="ISSUER",
            help="The source is the bucket and the database of jan-server's media-api, whose users "
            "are those of this issuer.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Bring media and API keys from another storage and catalog to those of the settings.

    Every object is checked by its hash on arrival. Run it again after an interruption: it goes on
    where it stopped. An S3 source needs MEDIA_S3_ENDPOINT and so on; if the target is S3 too, give
    the source's as FROM_MEDIA_S3_ENDPOINT and so on.
    """
    settings = settings_of_environment()
    try:
        source = source_settings(os.environ, from_storage=from_storage, from_database=from_database)
        moved = _move(source, settings, from_jan_server, jobs=jobs, delete=delete)
    except WrongSettings as wrong:
        fail_for(wrong)
    except (CatalogUnavailable, StorageUnavailable) as problem:
        fail(f"stopped: {problem}\nRun the same command again: it goes on where it stopped.")
    except (CannotMove, OSError, ValueError, RuntimeError) as problem:
        fail(str(problem))
    if as_json:
        print_json({**moved.numbers, "damaged_ids": moved.damaged})
    else:
        print(f"moved {moved}")
    if moved.damaged:
        fail("the source has no right bytes for these ids:\n" + "\n".join(moved.damaged))


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


def _move(
    source: Settings, target: Settings, jan_server: str, *, jobs: int, delete: bool
) -> "Moved":
    """Move everything, and show how far it is.

    ``jan_server`` is the issuer of the users of a media-api that is the source; "" if none is.
    Raises `CannotMove`, `CatalogUnavailable` and `StorageUnavailable`.
    """
    from jan_media.library.move import Moved, Source, move

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
        new = opened.enter_context(opened_side(target))
        old: Source
        if jan_server:
            takes = target.allowed_types | target.file_types
            old, in_all = opened.enter_context(_jan_server(source, jan_server, takes))
        else:
            old, in_all = opened.enter_context(_opened(source))
        new.catalog.migrate()
        for each in (old, new):
            each.storage.check()
        opened.enter_context(
            progress(
                in_all,
                lambda: moved.ids,
                lambda: f"{moved.objects} objects copied ({decimal(moved.bytes)})",
            )
        )
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


@contextmanager
def _opened(settings: Settings) -> "Iterator[tuple[Source, int]]":
    """A library of ours, and about how many ids it has."""
    with opened_side(settings) as side:
        _require_current(side.catalog.schema_version())
        yield side, sum(side.catalog.counts()[state] for state in ("media", "pending"))


@contextmanager
def _jan_server(
    settings: Settings, issuer: str, takes: AllowedTypes
) -> "Iterator[tuple[Source, int]]":
    """The library of a media-api of jan-server, and how many ids it has. It says what stays."""
    from jan_media.library.jan_server import Bucket, MediaObjects
    from jan_media.library.move import Source
    from jan_media.storage.open import open_storage
    from jan_media.storage.s3 import S3Storage

    if settings.storage_backend != "s3" or not settings.database_url.startswith("postgres"):
        raise CannotMove("jan-server's media are in s3://bucket and postgresql://…: name those")
    with (
        closing(MediaObjects(settings.database_url, issuer=issuer, takes=takes)) as table,
        closing(open_storage(settings)) as storage,
    ):
        assert isinstance(storage, S3Storage)
        yield Source(table, Bucket(storage)), table.count()
    if table.left_out:
        print(
            "left out, since MEDIA_ALLOWED_TYPES and MEDIA_FILE_TYPES do not name their types: "
            + " ".join(sorted(table.left_out)),
            file=sys.stderr,
        )


def _place(settings: Settings) -> tuple[str, str]:
    if settings.storage_backend == "local":
        return "local", str((settings.data_dir / "objects").resolve())
    return settings.s3.endpoint, settings.s3.bucket


def _require_current(version: int) -> None:
    from jan_media.catalog.migrations import newest_version

    if version == 0:
        raise CannotMove("there is no catalog in the database that --from-database names")
    if version != newest_version():
        raise CannotMove(
            f"the source's schema is version {version}, not {newest_version()}: use the version "
            "of jan-media on both ends, starting the old sidecar once with it if it is newer"
        )
