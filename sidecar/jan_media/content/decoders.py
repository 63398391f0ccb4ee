"""Processes that decode untrusted pictures, with limits on memory and time.

A picture that crashes its decoder, or needs too much, ends one of these processes and nothing else.
They start on demand, and end with the process that started them. Messages are msgpack in both
directions: a picture that takes control of its decoder can send wrong answers, but no code.
"""

import contextlib
import io
import os
import queue
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import recv_handle, send_handle
from threading import Timer
from typing import Any, BinaryIO

import msgpack

from jan_media.content.refusals import MediaRefused, TooExpensive

PROCESSES = max(1, min(4, os.cpu_count() or 1))
CPU_SECONDS = 10
"""CPU time for one picture."""
WALL_SECONDS = 60.0
"""Elapsed time for one picture, on a busy machine."""
_BASE_MEMORY = 1 << 30  # address space of Python with its libraries and of files that are read
_BYTES_A_PIXEL = 16  # four channels, and what decoders and conversions hold beside them
_SENT_AS_BYTES = 256 * 1024  # bytes; for a larger file, its open descriptor is sent
_LONGEST_ANSWER = 1 << 28


class Decoders:
    """A few processes that each do one job at a time. Any thread may call `run`."""

    def __init__(self, processes: int = PROCESSES) -> None:
        # The last one used comes first. None stands for a process that is not started yet.
        self._idle: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)

    def run(self, job: str, source: BinaryIO, size: int, mime: str, **arguments: Any) -> Any:
        """Run ``job`` in a process on the ``size`` bytes of ``source``; returns its answer.

        Blocking: waits for a free process. ``arguments`` must have ``max_pixels``. Raises
        `MediaRefused`: the job's own refusal, or `TooExpensive`.
        """
        process = self._idle.get()
        try:
            if process is None or not process.alive:
                process = _Process()
            question = {"job": job, "cpu_seconds": CPU_SECONDS, "mime": mime, **arguments}
            answer = process.ask(question, source, size)
        except BaseException:
            if process is not None:
                process.end()
                process = None
            raise
        finally:
            self._idle.put(process)
        if "refused" in answer:
            raise MediaRefused(*answer["refused"])
        return answer["done"]


DECODERS = Decoders()
"""The decoders that belong to this process."""


class _Process:
    """One decoder process, and the connection to it."""

    def __init__(self) -> None:
        """Start it, and wait until it is ready. Raises `RuntimeError` if it cannot run."""
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "jan_media.content.decoders", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        no_start = RuntimeError("a decoder process does not start: see the log")
        with self._killed_if_silent(no_start):
            self._connection.recv_bytes()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: dict[str, Any], source: BinaryIO, size: int) -> Any:
        """The answer. Raises `TooExpensive` if the process ends, or is silent for too long."""
        source.seek(0)
        file = None
        if size > _SENT_AS_BYTES:
            with contextlib.suppress(io.UnsupportedOperation):  # it is in memory
                file = source.fileno()
        content = source.read() if file is None else None
        with self._killed_if_silent(TooExpensive(question["mime"])):
            self._connection.send_bytes(msgpack.packb({**question, "content": content}))
            if file is not None:
                send_handle(self._connection, file, self._process.pid)
            return msgpack.unpackb(self._connection.recv_bytes(_LONGEST_ANSWER))

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def _killed_if_silent(self, failure: Exception) -> Iterator[None]:
        """Kill the process if the block takes too long. Raises ``failure`` if it ends."""
        timer = Timer(WALL_SECONDS, self._process.kill)
        timer.start()
        try:
            yield
        except (OSError, EOFError):
            self.end()
            raise failure from None
        finally:
            timer.cancel()


# --- inside a decoder process


def _serve(connection: Connection) -> None:
    """Do one job after another until the other end closes the connection."""
    from jan_media.content import picture
    from jan_media.renditions import steps

    jobs: dict[str, Callable[..., Any]] = {"check": picture.check, "render": steps.render}
    with open(os.devnull, "w") as nowhere:
        connection.send_bytes(b"ready")
        os.dup2(nowhere.fileno(), sys.stderr.fileno())  # decoders print warnings for odd files
    while True:
        question = msgpack.unpackb(connection.recv_bytes())
        content = question.pop("content")
        file = None if content is not None else recv_handle(connection)
        _limit(question.pop("cpu_seconds"), question["max_pixels"])
        with io.BytesIO(content) if file is None else open(file, "rb") as source:
            try:
                answer = {"done": jobs[question.pop("job")](source, **question)}
            except MediaRefused as refusal:
                answer = {"refused": (refusal.code, refusal.message)}
            connection.send_bytes(msgpack.packb(answer))


def _limit(cpu_seconds: int, max_pixels: int) -> None:
    """Limit the CPU time and the memory of the next job; the kernel enforces both."""
    used = int(time.process_time())
    for kind, most in (
        (resource.RLIMIT_CPU, used + 1 + cpu_seconds),
        (resource.RLIMIT_AS, _BASE_MEMORY + max_pixels * _BYTES_A_PIXEL),
    ):
        with contextlib.suppress(ValueError):  # macOS has no limit of address space
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sidecar ends on Ctrl-C, and this with it
    os.nice(5)  # chat requests go first
    with contextlib.suppress(EOFError, OSError):  # the sidecar has gone, perhaps before the start
        _serve(Connection(int(sys.argv[1])))
