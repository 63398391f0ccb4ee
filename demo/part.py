"""One process of the stack: started, awaited until it is ready, and stopped by its pid."""

import contextlib
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

READY_WITHIN_SECONDS = 60.0
STOPPED_WITHIN_SECONDS = 10.0
LOG_TAIL_LINES = 30

# Ends a process group, first with SIGTERM, when its input ends before a line comes. The input also
# ends if this stack is killed and cannot stop its parts. A parent-death signal would reach only the
# first of `kong start`'s processes, which forwards no signals.
WATCHDOG = """
read -r stopped && exit
kill -s TERM -- "-$1"
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
  kill -s 0 -- "-$1" || exit
  sleep 0.1
done
kill -s KILL -- "-$1"
"""


class PartFailed(Exception):
    """A part died, or was not ready in time. The message includes the end of its log."""


@dataclass
class Part:
    """A process with a name, a log file and a check of whether it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    is_ready: Callable[[], bool]
    extra_logs: Sequence[Path] = ()
    # For a command that starts the real process as a child and forwards no signals.
    stop_whole_group: bool = False
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _watchdog: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """The process id. Raises PartFailed before the start."""
        if self.process is None:
            raise PartFailed(f"{self.name} was not started.")
        return self.process.pid

    def start(self) -> None:
        """Starts the process in its own group, so that Ctrl-C reaches only the stack."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog = subprocess.Popen(
            ["sh", "-c", WATCHDOG, "watchdog", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until_ready(self, go_on: Callable[[], None] = lambda: None) -> None:
        """Returns when the part is ready. Raises PartFailed when it dies or takes too long.

        ``go_on`` is called again and again meanwhile; an exception from it ends the wait.
        """
        give_up = time.monotonic() + READY_WITHIN_SECONDS
        while not self.is_ready():
            go_on()
            self.check()
            if time.monotonic() > give_up:
                raise PartFailed(
                    f"{self.name} was not ready within {READY_WITHIN_SECONDS:.0f} seconds."
                    f"\n{self.log_tail()}"
                )
            time.sleep(0.05)
        self.check()

    def check(self) -> None:
        """Raises PartFailed if the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise PartFailed(
                f"{self.name} stopped with status {self.process.returncode}.\n{self.log_tail()}"
            )

    def log_tail(self) -> str:
        """The last lines of the part's logs."""
        tails = []
        for log in (self.log, *self.extra_logs):
            if log.exists():
                lines = log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
                tails.append("\n".join([f"--- {log}", *lines]))
        return "\n".join(tails)

    def stop(self) -> None:
        """Ends the process and its children, first with SIGTERM."""
        if self.process is None:
            return
        if self.process.poll() is None:
            if self.stop_whole_group:
                self._signal_group(signal.SIGTERM)
            else:
                self.process.terminate()
            try:
                self.process.wait(STOPPED_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # Children that outlived it, a plugin server for example, are in its process group.
        self._signal_group(signal.SIGKILL)
        if self._watchdog is not None:
            self._watchdog.communicate(b"stopped\n")
            self._watchdog = None

    def _signal_group(self, which: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, which)


# All URLs here are plain HTTP. httpx would load the certificate authorities before each request.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def answers(url: str, status: int = 200) -> Callable[[], bool]:
    """A check for Part.is_ready: does this URL answer with this status?"""

    def ask() -> bool:
        try:
            answer = httpx.get(url, timeout=2, trust_env=False, verify=_NO_CERTIFICATES)
            return answer.status_code == status
        except httpx.HTTPError:
            return False

    return ask
