"""``jan-media doctor``, ``verify`` and ``sweep``: checks, and cleaning up."""

import os
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal

from jan_media.commands.entry import fail, milliseconds, opened_library, settings_of_environment
from jan_media.commands.terminal import AsJson, print_json, progress

COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}


def doctor(
    kong: Annotated[
        Path | None, typer.Option(help="A kong.yml to check too: is every way in guarded?")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, catalog, storage and, if asked, kong.yml; say how to fix what is wrong.

    The exit status is 1 if there is a problem, 0 if there are only warnings.
    """
    settings = settings_of_environment()
    from jan_media.doctor.examine import examine
    from jan_media.doctor.finding import Verdict

    findings = []
    for finding in examine(settings, kong):
        findings.append(finding)
        if not as_json:
            verdict = typer.style(f"{finding.verdict:8}", COLOURS[finding.verdict])
            typer.echo(f"{verdict} {finding.subject}: {finding.message}")
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise SystemExit(1)


def sweep(
    dry_run: Annotated[bool, typer.Option(help="Say what would go, and change nothing.")] = False,
    grace: Annotated[
        str,
        typer.Option(help="Take keys held this long for garbage (MEDIA_SWEEP_GRACE)."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Remove what has expired and what nothing refers to, and say how much."""
    held_ms = milliseconds(grace)
    with opened_library() as library:
        from jan_media.library.sweep import Swept, rehearse, sweep_in_turn

        # A sweep checks unused direct uploads, and needs this even if no sidecar has run yet.
        library.spool_dir.mkdir(parents=True, exist_ok=True)
        ahead_ms = 0 if held_ms is None else library.rules.hold_ms - held_ms
        swept = rehearse(library, ahead_ms=ahead_ms)
        if not dry_run:
            in_all, swept = swept.steps, Swept()
            holder = f"cli:{os.getpid()}:{secrets.token_hex(4)}"
            with progress(in_all, lambda: swept.steps, unit="ids and objects"):
                finished = sweep_in_turn(library, holder, ahead_ms=ahead_ms, swept=swept)
            if not finished:
                fail("another sidecar is sweeping and takes long: try again later")
    if as_json:
        print_json({"dry_run": dry_run, **swept.numbers})
    else:
        print(f"{'would sweep' if dry_run else 'swept'} {swept}")


def verify(
    by_hash: Annotated[
        bool, typer.Option("--hash", help="Read every object and compare its hash.")
    ] = False,
    give_up: Annotated[
        bool, typer.Option(help="Remove such ids, so that the content can be uploaded anew.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look whether every id has its bytes, as after a restore, and list those that have not.

    Renditions too, which are made anew once they are removed.

    The exit status is 1 if there are any and they were not removed.
    """
    with opened_library() as library:
        from jan_media.library.verify import Verified, lost_ids

        verified = Verified()
        note = (lambda: f"{decimal(verified.bytes)} read") if by_hash else (lambda: "")
        with progress(library.catalog.counts()["media"], lambda: verified.ids, note):
            for id in lost_ids(library, verified, by_hash=by_hash, give_up=give_up):
                if not as_json:
                    print(id, flush=True)
    count, lost, renditions = verified.ids, verified.lost, verified.lost_renditions
    if as_json:
        removed = give_up and bool(lost or renditions)
        print_json(
            {"looked_at": count, "lost": lost, "lost_renditions": renditions, "removed": removed}
        )
    done = "were removed" if give_up else "remain; --give-up removes them"
    print(
        f"looked at {count} ids; without their bytes: {len(lost)}"
        f"{f' and {renditions} renditions' if renditions else ''}"
        f"{f', which {done}' if lost or renditions else ''}",
        file=sys.stderr,
    )
    if (lost or renditions) and not give_up:
        raise SystemExit(1)
