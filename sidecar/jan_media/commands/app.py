"""``jan-media`` and all its commands. Each command loads what only that one needs."""

from typing import Annotated

import typer

from jan_media import __version__
from jan_media.commands.client import chat, get, ls, rm, upload
from jan_media.commands.entry import serve_until_stopped
from jan_media.commands.keys import keys
from jan_media.commands.migration import migrate
from jan_media.commands.upkeep import doctor, sweep, verify

CLIENT = "A gateway, as its clients see it"
SIDECAR = "The sidecar, by the settings of its environment (MEDIA_…)"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        print(f"jan-media {__version__}")
        raise typer.Exit


@app.callback()
def jan_media(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Jan Media Gateway: the sidecar, its upkeep, and a client of a gateway."""


app.command("serve", rich_help_panel=SIDECAR)(serve_until_stopped)
for of_sidecar in (doctor, verify, sweep, migrate):
    app.command(rich_help_panel=SIDECAR)(of_sidecar)
app.add_typer(keys, name="keys", rich_help_panel=SIDECAR)
for of_client in (upload, ls, get, rm, chat):
    app.command(rich_help_panel=CLIENT)(of_client)
