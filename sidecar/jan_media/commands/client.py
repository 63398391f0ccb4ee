"""``jan-media upload``, ``ls``, ``get``, ``rm`` and ``chat``: the quick way to try a gateway."""

import mimetypes
import secrets
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from jan_media.commands.entry import fail, printable, tell
from jan_media.commands.gateway import Gateway, GatewayError
from jan_media.commands.terminal import AsJson, print_results
from jan_media.media_id import parse_media_id

GatewayUrl = Annotated[
    str, typer.Option("--gateway", envvar="JAN_MEDIA_GATEWAY_URL", help="The gateway's address.")
]
Token = Annotated[
    str,
    typer.Option(
        envvar="JAN_MEDIA_TOKEN",
        help="A token or an API key; best in the variable. Without one you are a guest.",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print ids alone, one a line.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID…", show_default=False)]
HERE = "http://localhost:8000"  # where `make up` has its gateway
QUESTION = "What is in this picture?"
COLUMNS = {"ID": itemgetter("id"), "TYPE": itemgetter("mime"), "BYTES": itemgetter("bytes")}


def upload(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", show_default=False)],
    gateway_url: GatewayUrl = HERE,
    token: Token = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Upload files and print their ids. Large ones go straight to the storage."""
    done: list[dict[str, Any]] = []
    failures = 0
    with _signed_in(gateway_url, token) as gateway, _bars() as bars:
        for path in files:
            try:
                done.append({"file": str(path), **_sent(gateway, path, bars)})
            except (GatewayError, OSError) as problem:
                tell(f"{path}: {problem.strerror if isinstance(problem, OSError) else problem}")
                failures += 1
    if done or as_json:
        more = {"STATE": _state, "FILE": lambda each: each["file"]}
        print_results(done, {**COLUMNS, **more}, as_json=as_json, quiet=quiet)
    if failures:
        raise SystemExit(1)


def ls(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    gateway_url: GatewayUrl = HERE,
    token: Token = "",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """List your media, newest first."""
    with _signed_in(gateway_url, token) as gateway:
        found, more = gateway.media(limit)
    columns = {**COLUMNS, "CREATED": itemgetter("created_at")}
    print_results(found, columns, as_json=as_json, quiet=quiet)
    if more:
        tell(f"there are more than {limit}: --limit says how many to list")


def get(
    ids: Ids,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A folder, or a file's name; - is stdout."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace files that are there.")] = False,
    gateway_url: GatewayUrl = HERE,
    token: Token = "",
) -> None:
    """Download media, to the folder you are in unless told otherwise."""
    if len(ids) > 1 and output is not None and not output.is_dir():
        fail(f"{len(ids)} files do not fit into one: --output must be a folder that is there")
    with _signed_in(gateway_url, token) as gateway, _bars() as bars:
        for media_id in map(_id, ids):
            info = gateway.info(media_id)
            if str(output) == "-":
                with gateway.download(media_id) as pieces:
                    sys.stdout.buffer.writelines(pieces)
                continue
            name = media_id + (mimetypes.guess_extension(info["mime"]) or "")
            path = output or Path(name)
            path = path / name if path.is_dir() else path
            if path.exists() and not force:
                fail(f"{path} is there already: --force replaces it, --output names another")
            _save(gateway, media_id, path, bars, info["bytes"])
            tell(f"{path}: {info['mime']}, {decimal(info['bytes'])}")


def rm(
    ids: Ids,
    gateway_url: GatewayUrl = HERE,
    token: Token = "",
) -> None:
    """Delete media of yours. The bytes go when nobody else has uploaded the same."""
    failures = 0
    with _signed_in(gateway_url, token) as gateway:
        for media_id in map(_id, ids):
            try:
                gateway.delete(media_id)
                print(f"removed {media_id}")
            except GatewayError as problem:
                tell(f"{media_id}: {problem}")
                failures += 1
    if failures:
        raise SystemExit(1)


def chat(
    text: Annotated[str, typer.Argument(help="What to ask; - reads it from stdin.")] = "",
    image: Annotated[
        list[str] | None, typer.Option(metavar="FILE|ID", help="What to ask about; repeatable.")
    ] = None,
    model: Annotated[str, typer.Option(help="By default the first that the gateway names.")] = "",
    gateway_url: GatewayUrl = HERE,
    token: Token = "",
) -> None:
    """Ask the model behind the gateway, about pictures if you give any."""
    if text == "-":
        text = sys.stdin.read()
    if not text and not image:
        fail("ask something: jan-media chat 'What is this?' --image photo.jpg")
    with _signed_in(gateway_url, token) as gateway:
        ids = [_id_of(gateway, each) for each in image or []]
        model = model or gateway.first_model()
        tell(f"model {model}")
        for piece in gateway.chat(model, text or QUESTION, ids):
            print(printable(piece) if sys.stdout.isatty() else piece, end="", flush=True)
        print()


@contextmanager
def _signed_in(url: str, token: str) -> Iterator[Gateway]:
    """A gateway. If it refuses something, print why and end the process."""
    try:
        with closing(Gateway(url, token)) as gateway:
            yield gateway
    except GatewayError as problem:
        fail(str(problem))
    except OSError as problem:
        fail(f"{problem.filename or 'file'}: {problem.strerror}")


def _state(uploaded: dict[str, Any]) -> str:
    return "known" if uploaded.get("deduped") else "new"


def _sent(gateway: Gateway, path: Path, bars: Progress) -> dict[str, Any]:
    with bars.open(path, "rb", description=path.name) as file:
        return gateway.upload(file, path.name)


def _id_of(gateway: Gateway, file_or_id: str) -> str:
    """The id for a file or an id that the user gave; a file is uploaded."""
    path = Path(file_or_id)
    known = parse_media_id(file_or_id)
    if known is not None and not path.exists():
        return known
    with _bars() as bars:
        media_id = str(_sent(gateway, path, bars)["id"])
    tell(f"{path} is {media_id}")
    return media_id


def _save(gateway: Gateway, media_id: str, path: Path, bars: Progress, total: int) -> None:
    """Download to a temporary file, which gets its name when it is complete."""
    task = bars.add_task(path.name, total=total)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file, gateway.download(media_id) as pieces:
            for piece in pieces:
                file.write(piece)
                bars.advance(task, len(piece))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _id(text: str) -> str:
    found = parse_media_id(text)
    if found is None:
        fail(f"{text} is no media id: jan-media ls lists yours")
    return found


def _bars() -> Progress:
    """A bar for each file, with bytes, rate and time left. Shown only on a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=False,
        disable=not sys.stderr.isatty(),
        transient=True,
    )
