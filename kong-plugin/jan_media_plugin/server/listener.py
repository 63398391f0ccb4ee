"""The socket, the loop and the process: start, signals, watching Kong, shutdown."""

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path
from typing import Any

import uvloop

from jan_media_plugin.server.connection import Connection
from jan_media_plugin.server.log import where
from jan_media_plugin.server.plugin_server import LoopPluginServer
from jan_media_plugin.server.watches import Freeze, Stalls

log = logging.getLogger(__name__)


def bind(path: Path, backlog: int) -> socket.socket:
    """Listen on a Unix socket at ``path``, replacing any that is there. Raises OSError.

    A server that Kong restarts finds its predecessor's socket, dead or about to be. The new one is
    renamed over it, so that there is always one. The process's umask decides who may connect, as
    with kong-pdk: with the usual 022, only this user. If Kong's workers run as another user, start
    the server with umask 007 and a common group.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    listening.bind(str(new))
    listening.listen(backlog)
    listening.setblocking(False)
    new.rename(path)
    return listening


def serve(server: LoopPluginServer, path: Path, backlog: int) -> None:
    """Serve at ``path`` until SIGTERM, SIGINT or the end of the process that started this one."""
    parent = os.getppid()  # before anybody can see the socket and end the parent
    listening = bind(path, backlog)
    inode = path.stat().st_ino
    log.info("plugin server started, process %d", os.getpid())
    try:
        uvloop.run(_serve(server, listening, parent))
    finally:
        if path.exists() and path.stat().st_ino == inode:  # keep a successor's socket
            path.unlink()
    log.info("plugin server ended")


async def _serve(server: LoopPluginServer, listening: socket.socket, parent: int) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_failure)
    freeze = Freeze(server.limits.kong_read_timeout)
    acceptor = await loop.create_unix_server(lambda: Connection(server, freeze), sock=listening)
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_end.set)
    beat = loop.create_task(_beat(server, freeze, asked_to_end, parent))

    await asked_to_end.wait()
    acceptor.close()
    await server.drain()
    beat.cancel()
    for transport in list(freeze.transports):
        transport.close()


def _log_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    failure = context.get("exception")
    log.error("in a callback: %s", where(failure) if failure else context.get("message"))


async def _beat(
    server: LoopPluginServer, freeze: Freeze, asked_to_end: asyncio.Event, parent: int
) -> None:
    """Run the server's regular checks, and end it with Kong: a new Kong starts its own server."""
    stalls = Stalls(server)
    while True:
        stalls.beat()
        await asyncio.sleep(server.limits.beat)
        freeze.beat()
        server.sweep()
        if os.getppid() != parent:
            log.info("the process that started this one is gone: ending too")
            asked_to_end.set()
