"""The commands of ``jan-media``. What only one of them needs, that one loads."""

import os
import secrets
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jan_media.catalog.interface import ApiKey, CatalogUnavailable
from jan_media.commands.entry import fail, fail_for, serve_until_stopped, settings_of_environment
from jan_media.settings import Settings, WrongSettings, duration
from jan_media.storage.interface import StorageUnavailable

if TYPE_CHECKING:
    from jan_media.identity.api_keys import ApiKeyring
    from jan_media.library.library import Library

app = typer.Typer(
    help="The sidecar of Jan Media Gateway. Settings are MEDIA_* environment variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys, name="keys")


@app.command("serve")
def serve_command() -> None:
    """Serve both listeners until SIGTERM or Ctrl-C."""
    serve_until_stopped()


@app.command("sweep")
def sweep_command(
    dry_run: Annotated[bool, typer.Option(help="Say what would go, and change nothing.")] = False,
    grace: Annotated[
        str,
        typer.Option(help="Take keys held this long for garbage (MEDIA_SWEEP_GRACE)."),
    ] = "",
) -> None:
    """Remove what has expired and what nothing refers to, and say how much."""
    from jan_media.library.sweep import rehearse, sweep_in_turn

    settings = settings_of_environment()
    with _Opened(settings) as (library, _):
        held_for = _duration(grace) if grace else settings.sweep_grace
        ahead_ms = int((settings.sweep_grace - held_for) * 1000)
        if dry_run:
            print(f"would sweep {rehearse(library, ahead_ms=ahead_ms)}")
            return
        swept = sweep_in_turn(
            library, f"cli:{os.getpid()}:{secrets.token_hex(4)}", ahead_ms=ahead_ms
        )
        if swept is None:
            fail("another sidecar is sweeping and takes long: try again later")
        print(f"swept {swept}")


@app.command("doctor")
def doctor_command(
    kong: Annotated[
        Path | None, typer.Option(help="A kong.yml to check too: is every way in guarded?")
    ] = None,
) -> None:
    """Check settings, catalog, storage and, if asked, kong.yml; say how to fix what is wrong.

    The exit status is 1 if there is a problem, 0 if there are only warnings.
    """
    from jan_media.doctor.examine import examine
    from jan_media.doctor.finding import Verdict

    settings = settings_of_environment()
    problems = 0
    for finding in examine(settings, kong_yml=kong, environment=os.environ):
        print(f"{finding.verdict:8} {finding.subject}: {finding.message}", flush=True)
        problems += finding.verdict is Verdict.PROBLEM
    if problems:
        raise SystemExit(1)


@app.command("migrate")
def migrate_command(
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
) -> None:
    """Bring media and API keys from another storage and catalog to those of the settings.

    Every object is checked by its hash on arrival. Run it again after an interruption: it goes on
    where it stopped. An S3 source needs MEDIA_S3_ENDPOINT and so on; if the target is S3 too, give
    the source's as FROM_MEDIA_S3_ENDPOINT and so on.
    """
    from jan_media.commands.migration import CannotMove, run_move, source_settings

    settings = settings_of_environment()
    try:
        source = source_settings(os.environ, from_storage=from_storage, from_database=from_database)
        moved = run_move(
            source,
            settings,
            jobs=jobs,
            delete=delete,
            report=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except WrongSettings as wrong:
        fail_for(wrong)
    except (CatalogUnavailable, StorageUnavailable) as problem:
        fail(f"stopped: {problem}\nRun the same command again: it goes on where it stopped.")
    except (CannotMove, OSError, ValueError, RuntimeError) as problem:
        fail(str(problem))
    print(f"moved {moved}")
    if moved.damaged:
        fail("the source has no right bytes for these ids:\n" + "\n".join(moved.damaged))


@app.command("verify")
def verify_command(
    by_hash: Annotated[
        bool, typer.Option("--hash", help="Read every object and compare its hash.")
    ] = False,
    give_up: Annotated[
        bool, typer.Option(help="Remove such ids, so that the content can be uploaded anew.")
    ] = False,
) -> None:
    """Look whether every id has its bytes, as after a restore, and list those that have not.

    The exit status is 1 if there are any and they were not removed.
    """
    from jan_media.commands.migration import opened_side
    from jan_media.library.verify import give_up_lost, lost

    settings = settings_of_environment()
    found = 0
    try:
        with opened_side(settings) as side:
            side.catalog.migrate()
            for record in lost(side, by_hash=by_hash):
                found += 1
                print(record.media.id, flush=True)
                if give_up:
                    give_up_lost(side, record)
    except (CatalogUnavailable, StorageUnavailable, OSError, ValueError, RuntimeError) as problem:
        fail(str(problem))
    done = "were removed" if give_up else "remain; --give-up removes them"
    print(f"ids without their bytes: {found}{f', which {done}' if found else ''}", file=sys.stderr)
    if found and not give_up:
        raise SystemExit(1)


@keys.command("create")
def create_key(
    owner: Annotated[str, typer.Option(help="Whom the key stands for.")],
    group: Annotated[list[str] | None, typer.Option(help="A group to grant; repeatable.")] = None,
    expires_in: Annotated[str, typer.Option(help="As in 30d; never by default.")] = "",
) -> None:
    """Make a key. It is shown this once."""
    from jan_media.library.library import now_ms

    with _Opened(settings_of_environment()) as (_, keyring):
        expires_at = now_ms() + int(_duration(expires_in) * 1000) if expires_in else None
        try:
            made = keyring.create(owner, group or [], now=now_ms(), expires_at=expires_at)
        except ValueError as problem:
            fail(str(problem))
        print(made.text)
        print(f"id {made.record.id}; store the key now, it cannot be shown again", file=sys.stderr)


@keys.command("list")
def list_keys(
    prefix: Annotated[str, typer.Option(help="Only keys that begin like this.")] = "",
    owner: Annotated[str, typer.Option(help="Only keys of this owner.")] = "",
) -> None:
    """List keys, oldest first: handle, beginning, owner, groups, state."""
    with _Opened(settings_of_environment()) as (_, keyring):
        for key in keyring.list(prefix=prefix, owner=owner or None):
            groups = ",".join(key.groups) or "-"
            print(f"{key.id}\t{key.prefix}…\t{key.owner}\t{groups}\t{_state(key)}")


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The handle that list shows.")]) -> None:
    """Revoke a key. Gateways stop honouring it once their cache of it runs out."""
    from jan_media.library.library import now_ms

    with _Opened(settings_of_environment()) as (_, keyring):
        if not keyring.revoke(key_id, now=now_ms()):
            fail(f"there is no key {key_id}, or it was revoked before")
        print(f"revoked {key_id}")


class _Opened:
    """The library and the keys, for one command."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> "tuple[Library, ApiKeyring]":
        from jan_media.sidecar import open_library

        try:
            self._library, keyring = open_library(self._settings)
            self._library.catalog.migrate()
        except (CatalogUnavailable, StorageUnavailable, OSError, ValueError, RuntimeError) as error:
            fail(str(error))
        return self._library, keyring

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._library.catalog.close()
        self._library.storage.close()
        if isinstance(error, CatalogUnavailable | StorageUnavailable):
            fail(str(error))


def _duration(text: str) -> float:
    try:
        return duration(text)
    except ValueError as problem:
        fail(str(problem))


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    if key.expires_at <= time.time() * 1000:
        return "expired"
    return f"valid until {datetime.fromtimestamp(key.expires_at / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
