"""A real PostgreSQL server for the tests: its own cluster, a free loopback port, fsync on.

Debian installs the server's programs outside PATH, one folder a version. PostgreSQL refuses to
run as root; then it runs as the user ``postgres``, whom the package creates.
"""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_PROGRAMS = Path("/usr/lib/postgresql")
_PATIENCE = 30.0  # seconds for the server to start or stop
_ROLE = "jan_media"


class PostgresServer:
    """One server that a test may stop, crash, freeze and start again, on the same port."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        """Make a cluster in ``folder``, an empty folder of ``user`` (None: ourselves)."""
        self._programs = programs
        self._user = user
        self._folder = folder
        self._data = folder / "data"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        subprocess.run(
            [
                self._programs / "initdb",
                *("--pgdata", self._data, "--username", _ROLE, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
        )

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, by TCP."""
        return f"postgresql://{_ROLE}@127.0.0.1:{self._port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """The URL of a database, by Unix socket."""
        return f"postgresql://{_ROLE}@/{database}?host={self._folder}&port={self._port}"

    def new_database(self) -> str:
        """Create an empty database; its URL."""
        name = f"catalog_{next(self._numbers)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def connections(self, database_url: str) -> int:
        """How many sessions are open on a database, as the server sees it."""
        name = database_url.rpartition("/")[2]
        with psycopg.connect(self.url(), autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]
            ).fetchone()
        assert row is not None
        return int(row[0])

    @property
    def pid(self) -> int:
        """The running server's process, whose children are its sessions."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    *("-D", self._data, "-k", self._folder, "-h", "127.0.0.1"),
                    *("-p", str(self._port), "-c", "fsync=on", "-c", "max_connections=200"),
                ],
                stdout=log,
                stderr=log,
                user=self._user,
                start_new_session=True,  # Ctrl-C stops the tests, which stop the server
            )
        give_up_at = time.monotonic() + _PATIENCE
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log()}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """Shut down in an orderly way; open connections are broken off."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End at once, as by a power cut of the server: it has to recover when started again."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Make the server stand still: connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    def restore(self) -> None:
        """Make it run again, whatever has been done to it."""
        if self._running():
            self.thaw()
        else:
            self.start()

    def kill(self) -> None:
        """End it if it runs, whatever has been done to it."""
        if self._running():
            self.thaw()
            self.crash()

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, by: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(by)
        self._process.wait(_PATIENCE)

    def _signal_all(self, sent: signal.Signals) -> None:
        assert self._process is not None, "not started"
        pid = self._process.pid
        # The postmaster first, so that it does not replace or restart anything meanwhile.
        os.kill(pid, sent)
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            try:
                os.kill(int(child), sent)
            except ProcessLookupError:
                continue  # a session that ended by itself

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-4000:]


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A server on a fresh cluster, which is deleted in the end, in whatever state it is."""
    programs, user = _find_programs(), _server_user()
    # Not below pytest's own folders: those are closed to the server's user. A Unix socket's path
    # has to be short as well.
    with tempfile.TemporaryDirectory(prefix="jan-pg-", ignore_cleanup_errors=True) as folder:
        if user is not None:
            shutil.chown(folder, user)
        server = PostgresServer(Path(folder), programs, user)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _find_programs() -> Path:
    versions = sorted(
        (path.parent for path in _PROGRAMS.glob("*/bin/initdb")),
        key=lambda path: float(path.parent.name),
    )
    if not versions:
        pytest.fail(
            f"no PostgreSQL server below {_PROGRAMS}: apt-get install postgresql", pytrace=False
        )
    return versions[-1]


def _server_user() -> str | None:
    """Whom to run the server as: None is ourselves."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.fail(
            "root cannot run PostgreSQL and there is no user postgres: apt-get install postgresql",
            pytrace=False,
        )
    return "postgres"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
