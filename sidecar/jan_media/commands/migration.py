"""``jan-media migrate``: its source, its target, and its progress.

The environment gives the target, as for every command: the settings that the sidecar will run with.
Two options name the source. Besides its bucket's name, an S3 source needs the same ``MEDIA_S3_…``
variables; if both ends are S3, the source's variables begin with ``FROM_``. So a command line never
holds a secret.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from jan_media.catalog.interface import CatalogUnavailable
from jan_media.catalog.migrations import newest_version
from jan_media.commands.entry import fail, failing_plainly, settings_of_environment
from jan_media.commands.terminal import AsJson, print_json, progress
from jan_media.content.allowed_types import AllowedTypes
from jan_media.settings import Settings, WrongSettings, load_settings
from jan_media.storage.interface import Storage, StorageUnavailable

if TYPE_CHECKING:
    from jan_media.library.move import Moved, Readable

FROM = "FROM_"
# These say where a library is: the source must not inherit them from the target.
_WHERE = ("MEDIA_STORAGE_BACKEND", "MEDIA_DATA_DIR", "MEDIA_DATABASE_URL", "MEDIA_S3_BUCKET")


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
    with failing_plainly():
        source = _source_settings(from_storage, from_database)
        try:
            moved = _move(source, settings, from_jan_server, jobs=jobs, delete=delete)
        except (CatalogUnavailable, StorageUnavailable) as problem:
            fail(f"stopped: {problem}\nRun the same command again: it goes on where it stopped.")
    if as_json:
        print_json({**moved.numbers, "damaged_ids": moved.damaged})
    else:
        print(f"moved {moved}")
    if moved.damaged:
        fail("the source has no right bytes for these ids:\n" + "\n".join(moved.damaged))


def _source_settings(from_storage: str, from_database: str) -> Settings:
    """The settings of what two options of `migrate` name. Raises `WrongSettings`."""
    source = {name: value for name, value in os.environ.items() if name not in _WHERE}
    source |= {
        name.removeprefix(FROM): value
        for name, value in os.environ.items()
        if name.startswith(f"{FROM}MEDIA_")
    }
    scheme, separator, rest = from_storage.partition("://")
    if scheme == "s3" and separator:
        source |= {"MEDIA_STORAGE_BACKEND": "s3", "MEDIA_S3_BUCKET": rest.strip("/")}
        if not from_database:
            raise WrongSettings("--from-database: is required with --from-storage s3://…")
    elif separator:
        raise WrongSettings("--from-storage: must be a folder, or s3://bucket")
    else:
        source |= {"MEDIA_STORAGE_BACKEND": "local", "MEDIA_DATA_DIR": from_storage}
        if not (Path(from_storage) / "objects").is_dir():
            raise WrongSettings(
                f"--from-storage: there is no folder {from_storage}/objects; name the folder that "
                "was MEDIA_DATA_DIR"
            )
    if from_database:
        source["MEDIA_DATABASE_URL"] = from_database
    settings = load_settings(source)
    path = settings.database_url.removeprefix("sqlite:///")
    if path != settings.database_url and not Path(path).is_file():
        raise WrongSettings(f"--from-database: there is no file {path}")
    return settings


def _move(
    source: Settings, target: Settings, jan_server: str, *, jobs: int, delete: bool
) -> "Moved":
    """Move everything, and show the progress.

    ``jan_server`` is the issuer of the users if the source is jan-server's media-api; else "".
    Raises `ValueError`, `CatalogUnavailable` and `StorageUnavailable`.
    """
    from jan_media.library.move import Moved, move
    from jan_media.sidecar import open_library

    if source.database_url == target.database_url:
        raise ValueError(
            "the source and the target are one catalog: MEDIA_DATABASE_URL names the new one"
        )
    if _place(source) == _place(target):
        raise ValueError(
            "the source and the target are one storage: name another bucket or MEDIA_DATA_DIR for "
            "the new one; objects are copied, and the old ones would stay in it unknown to anybody"
        )
    moved = Moved()
    with (
        closing(open_library(target)) as new,
        _opened(source, jan_server, takes=target.allowed_types | target.file_types) as opened,
    ):
        old, storage, total = opened
        new.catalog.migrate()
        for each in (storage, new.storage):
            each.check()
        new.spool_dir.mkdir(parents=True, exist_ok=True)
        with progress(
            total,
            lambda: moved.ids,
            lambda: f"{moved.copied_objects} objects copied ({decimal(moved.copied_bytes)})",
        ):
            move(old, storage, new, moved, jobs=jobs, delete=delete)
    return moved


@contextmanager
def _opened(
    settings: Settings, jan_server: str, *, takes: AllowedTypes
) -> "Iterator[tuple[Readable, Storage, int]]":
    """The source, ours or jan-server's media-api, and about how many ids it has.

    At the end, prints the ids of jan-server that were left out since ``takes`` lacks their types.
    """
    from jan_media.sidecar import open_library

    if not jan_server:
        with closing(open_library(settings)) as library:
            version = library.catalog.schema_version()
            if version == 0:
                raise ValueError("there is no catalog in the database that --from-database names")
            if version != newest_version():
                raise ValueError(
                    f"the source's schema is version {version}, not {newest_version()}: use the "
                    "version of jan-media on both ends, starting the old sidecar once with it if "
                    "it is newer"
                )
            counts = library.catalog.counts()
            yield library.catalog, library.storage, counts["media"] + counts["pending"]
        return
    from jan_media.library.jan_server import Bucket, MediaObjects

    url = settings.database_url
    if settings.storage_backend != "s3" or not url.startswith("postgres"):
        raise ValueError("jan-server's media are in s3://bucket and postgresql://…: name those")
    with (
        closing(MediaObjects(url, issuer=jan_server, takes=takes)) as table,
        closing(Bucket(settings.s3)) as bucket,
    ):
        yield table, bucket, table.count()
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
