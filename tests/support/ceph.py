"""A real S3 service for the tests: one Ceph monitor, one OSD in memory, one S3 gateway (RGW).

It checks SigV4, presigned URLs and POST policies as Amazon's does, which a simulation would not.
All of it runs from Debian packages on free loopback ports, with everything it writes in one
temporary folder, and is up in about ten seconds. Each daemon stays in the foreground as our child,
so it is stopped by its own process id and dies with the test run.

Facts are from the Ceph documentation, "Manual Deployment" and "Ceph Object Gateway Config
Reference" (https://docs.ceph.com/).
"""

import ctypes
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import httpx
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "GATEWAYTESTS"
SECRET_KEY = "a-secret-for-loopback-only"
REGION = "us-east-1"

_PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw-admin")
_PACKAGES = "ceph-mon ceph-osd radosgw ceph-common"
_PATIENCE = 60.0  # seconds for any one daemon to come up on a busy machine
_LIB = Path("/usr/lib")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Ceph:
    """A running cluster with one S3 user. `running` makes one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._conf = folder / "ceph.conf"
        self._port = _free_port()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.endpoint = f"http://127.0.0.1:{self._port}"

    def client(self) -> "S3Client":
        """A boto3 client of the service, with the rights of its only user."""
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        return client

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"media-{uuid.uuid4().hex[:12]}"
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()
        return name

    def media_settings(self, bucket: str) -> dict[str, str]:
        """Return the sidecar's settings for storing in ``bucket``."""
        return {
            "MEDIA_STORAGE_BACKEND": "s3",
            "MEDIA_S3_ENDPOINT": self.endpoint,
            "MEDIA_S3_BUCKET": bucket,
            "MEDIA_S3_ACCESS_KEY": ACCESS_KEY,
            "MEDIA_S3_SECRET_KEY": SECRET_KEY,
        }

    def new_user(self) -> tuple[str, str]:
        """Make a user who owns nothing; return the access key and the secret key."""
        name = f"user{uuid.uuid4().hex[:12]}"
        access_key, secret_key = name.upper(), uuid.uuid4().hex
        self._make_user(name, access_key, secret_key)
        return access_key, secret_key

    def pids(self) -> list[int]:
        """The processes of the running daemons."""
        return [daemon.pid for daemon in self._daemons.values()]

    def stop_gateway(self) -> None:
        """Take the S3 gateway away: connections are refused. Objects stay."""
        self._stop("gateway")

    def start_gateway(self) -> None:
        """Bring the S3 gateway up on its port and wait until it answers."""
        self._start("gateway", "radosgw", "-n", "client.gateway")
        self._wait("gateway", self._answers)

    @contextmanager
    def gateway_stopped(self) -> Iterator[None]:
        """The gateway is away inside the block."""
        self.stop_gateway()
        try:
            yield
        finally:
            self.start_gateway()

    @contextmanager
    def gateway_silent(self) -> Iterator[None]:
        """Inside the block the gateway accepts connections and says nothing (SIGSTOP)."""
        self._daemons["gateway"].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemons["gateway"].send_signal(signal.SIGCONT)

    def start(self) -> None:
        """Start everything. Raises `RuntimeError` with the log of what did not come up."""
        self._configure()
        self._start("monitor", "ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        self._run("ceph", "osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._start("osd", "ceph-osd", "-i", "0")
        self._make_user("tests", ACCESS_KEY, SECRET_KEY)
        self.start_gateway()

    def stop(self) -> None:
        """Stop every daemon, last started first."""
        for name in reversed(list(self._daemons)):
            self._stop(name)

    def _configure(self) -> None:
        monitor = f"[v2:127.0.0.1:{_free_port()},v1:127.0.0.1:{_free_port()}]"
        cluster = str(uuid.uuid4())
        for part in ("monitor", "osd", "gateway"):
            (self._folder / part).mkdir()
        self._conf.write_text(
            f"""
            [global]
            fsid = {cluster}
            mon_host = {monitor}
            keyring = {self._folder}/keyring
            run_dir = {self._folder}
            log_file = {self._folder}/$name.log
            admin_socket =
            ms_bind_ipv6 = false
            mon_allow_pool_size_one = true
            mon_max_pg_per_osd = 1000
            osd_pool_default_size = 1
            osd_pool_default_min_size = 1
            osd_pool_default_pg_num = 4
            osd_pool_default_pgp_num = 4
            osd_pool_default_pg_autoscale_mode = off
            osd_crush_chooseleaf_type = 0

            [mon.a]
            mon_data = {self._folder}/monitor

            [osd.0]
            osd_data = {self._folder}/osd
            osd_objectstore = memstore
            osd_class_dir = {_class_dir()}
            memstore_device_bytes = {2 * 1024**3}

            [client.gateway]
            rgw_data = {self._folder}/gateway
            rgw_frontends = beast endpoint=127.0.0.1:{self._port} tcp_nodelay=1
            """.replace("\n            ", "\n")
        )
        everything = [
            argument for part in ("mon", "osd", "mgr") for argument in ("--cap", part, "allow *")
        ]
        self._make_keyring("--create-keyring", "--gen-key", "-n", "mon.", *everything)
        for name in ("client.admin", "client.gateway", "osd.0"):
            self._make_keyring("--gen-key", "-n", name, *everything)
        monmap = str(self._folder / "monmap")
        self._run_plain("monmaptool", "--create", "--fsid", cluster, "--addv", "a", monitor, monmap)
        keyring = str(self._folder / "keyring")
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap, "--keyring", keyring)

    def _make_user(self, name: str, access_key: str, secret_key: str) -> None:
        self._run(
            "radosgw-admin",
            *("user", "create", "--uid", name, "--display-name", name),
            *("--access-key", access_key, "--secret", secret_key),
        )

    def _make_keyring(self, *arguments: str) -> None:
        self._run_plain("ceph-authtool", str(self._folder / "keyring"), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        self._run_plain(program, "-c", str(self._conf), *arguments)

    def _run_plain(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")

    def _start(self, name: str, program: str, *arguments: str) -> None:
        with (self._folder / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [program, "-c", str(self._conf), *arguments, "-f"],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )

    def _stop(self, name: str) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is not None:
            daemon.kill()  # nothing of it is worth a slow goodbye
            daemon.wait()

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not ready():
            if self._daemons[name].poll() is not None or time.monotonic() > deadline:
                output = (self._folder / f"{name}.out").read_text(errors="replace")
                raise RuntimeError(f"the Ceph {name} did not come up:\n{output[-4000:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.endpoint, timeout=2.0).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running() -> Iterator[Ceph]:
    """A started cluster, stopped and removed at the end.

    Raises `RuntimeError` naming the packages if a program is missing: these tests are not
    optional.
    """
    missing = [program for program in (*_PROGRAMS, "radosgw") if shutil.which(program) is None]
    if missing:
        raise RuntimeError(
            f"Ceph is not installed ({', '.join(missing)} missing): "
            f"apt-get install -y --no-install-recommends {_PACKAGES}"
        )
    folder = Path(tempfile.mkdtemp(prefix="ceph-"))
    ceph = Ceph(folder)
    try:
        ceph.start()
        yield ceph
    finally:
        ceph.stop()
        shutil.rmtree(folder)


def _die_with_parent() -> None:
    """Runs in the child: not even a killed test run leaves daemons behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _class_dir() -> Path:
    """Where RGW's own code in the OSD lies. Debian 13's OSD looks for it below its own folder."""
    return next(found for place in (".", "*") for found in _LIB.glob(f"{place}/rados-classes"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
