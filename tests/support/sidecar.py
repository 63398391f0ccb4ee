"""A sidecar running as an operator runs it: ``jan-media serve``, a process of its own."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY = re.compile(r"jan-media ready on (\S+) \(internal: (\S+)\)")
START_SECONDS = 30
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class RunningSidecar:
    """Where a started sidecar answers, and what it has logged."""

    public_url: str
    internal_url: str
    data_dir: Path
    process: "subprocess.Popen[str]"
    log_file: Path

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return self.log_file.read_text()

    def kill(self) -> None:
        """SIGKILL it and all its workers, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it and return its exit status."""
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def running_sidecar(
    data_dir: Path, source: Path | None = None, /, **settings: str
) -> Iterator[RunningSidecar]:
    """Start a sidecar on free ports of loopback, with local storage and SQLite in ``data_dir``.

    ``settings`` are MEDIA_* variables that differ, without the prefix. ``source`` is a folder with
    another version of the package to run. Stopped in the end.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    log_file = data_dir / f"sidecar-{time.monotonic_ns()}.log"
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jan_media", "serve"],
            env=environment(data_dir, **settings) | ({"PYTHONPATH": str(source)} if source else {}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        public_url, internal_url = _wait_until_ready(process, log_file)
        yield RunningSidecar(public_url, internal_url, data_dir, process, log_file)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def run_jan_media(
    *arguments: str, data_dir: Path, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run a ``jan-media`` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "jan_media", *arguments],
        env=environment(data_dir, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(data_dir: Path, **settings: str) -> dict[str, str]:
    """This process's environment with the sidecar's settings, and no others of them."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("MEDIA_")}
    ours = {
        "LISTEN": "127.0.0.1:0",
        "INTERNAL_LISTEN": "127.0.0.1:0",
        "STORAGE_BACKEND": "local",
        "DATA_DIR": str(data_dir),
        "FETCH_ALLOW": "127.0.0.1",
        **settings,
    }
    return base | {f"MEDIA_{name}": value for name, value in ours.items()}


def _wait_until_ready(process: "subprocess.Popen[str]", log_file: Path) -> tuple[str, str]:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else ""
    match = READY.match(line)
    assert match, f"the sidecar did not start: {line!r}\n{log_file.read_text()}"
    return match[1], match[2]
