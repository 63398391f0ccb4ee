"""Builds the images, runs them, and checks what they promise.

    python -m deploy.images [FOLDER]       (make images, as root)

It needs buildah and unshare, but no container engine: an image's files are mounted read-only as the
root of a separate mount namespace, and the image's command runs there as its user.

DEBIAN    the base image of sidecar and demo model, as `docker pull` names it. Without it,
          debootstrap makes one, which takes half a minute and needs no image registry.
KONG      Kong's own image, such as kong:3.9, or a folder that holds the files of one: a Debian
          with `kong` in its PATH and a user kong. Without it only the images of sidecar and demo
          model are built, and devkong runs in front of them.
PIP_CERT  a file with your proxy's certificates, if packages come through a proxy
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from demo.addresses import HOST, Ports, free_ports
from demo.images import drawn
from demo.kong_settings import ROOT
from demo.part import Part, PartFailed
from demo.stack import Stack, gateway_is_ready

DEBIAN_MADE_HERE = "localhost/jan-media-debian"
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
SIDECAR = "localhost/jan-media-sidecar"
DEMO_LLM = "localhost/jan-media-demo-llm"
KONG = "localhost/jan-media-kong"
KONG_FROM_FOLDER = "localhost/jan-media-kong-base"
# The one folder that each may write to.
WRITES_TO = {SIDECAR: "/data", DEMO_LLM: "/data", KONG: "/kong_prefix"}

# Beyond the base image, which all containers of a machine share.
LARGEST_OWN_BYTES = 300 * 1024 * 1024
NOT_INSIDE = {"pip", "pip3", "gcc", "cc", "make", "git", "curl", "wget"}
STOPS_WITHIN_SECONDS = 10.0

# Enters an image: $1 its files, $2 the folder that it writes to, $3 the path of that folder inside,
# $4 a file that replaces one of its own and $5 the path of that file (or both empty), $6 its user,
# $7 its working directory, then the command. The mounts end with the namespace's last process.
ENTER = """
set -e
root=$1 data=$2 inside=$3 file=$4 place=$5 user=$6 folder=$7; shift 7
mount --bind "$root" "$root"
mount --bind "$data" "$root$inside"
test -z "$file" || mount --bind "$file" "$root$place"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/env --chdir="$folder" /usr/bin/setpriv \
  --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs --pdeathsig TERM "$@"
"""


class BrokenPromise(Exception):
    """An image is not as promised. The message says how."""


def promised(holds: bool, promise: str) -> None:
    """Print the promise if it holds. Raises BrokenPromise if not."""
    if not holds:
        raise BrokenPromise(promise)
    print(f"   ✓ {promise}", flush=True)


@dataclass(frozen=True)
class Buildah:
    """buildah with its own store, below ``folder``."""

    folder: Path

    def __call__(self, *arguments: str, quiet: bool = True) -> str:
        """Run a buildah command and return its output. Raises CalledProcessError."""
        stores = ("--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"))
        done = subprocess.run(
            ["buildah", "--storage-driver", "vfs", *stores, *arguments],
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
            stdout=subprocess.PIPE if quiet else subprocess.DEVNULL,
            text=True,
            check=True,
        )
        return (done.stdout or "").strip()

    def has(self, image: str) -> bool:
        """Tell whether the store has an image of this name."""
        names = json.loads(self("images", "--json") or "null") or []
        return any(name.startswith(f"{image}:") for each in names for name in each["names"] or [])


def debian(buildah: Buildah) -> str:
    """Return the name of a Debian image: the one in DEBIAN, or one made with debootstrap."""
    given = os.environ.get("DEBIAN")
    if given:
        return given
    if not buildah.has(DEBIAN_MADE_HERE):
        print(f"── Debian {SUITE}, with debootstrap", flush=True)
        with tempfile.TemporaryDirectory(prefix="jan-debian-") as root:
            subprocess.run(
                ["debootstrap", "--variant=minbase", SUITE, root, MIRROR],
                stdout=subprocess.DEVNULL,
                check=True,
            )
            container = buildah("from", "scratch")
            buildah("add", "--quiet", container, root, "/")
            buildah("commit", "--quiet", "--rm", container, DEBIAN_MADE_HERE)
    return DEBIAN_MADE_HERE


def kong(buildah: Buildah) -> str | None:
    """Return the name of Kong's own image, which KONG names or contains. None without one."""
    given = os.environ.get("KONG")
    if not given or not Path(given).is_dir():
        return given
    print(f"── Kong, from {given}", flush=True)
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, given, "/")
    buildah("config", "--user", "kong", "--env", "KONG_NGINX_DAEMON=off", container)
    buildah("config", "--cmd", '["kong", "start"]', container)
    buildah("commit", "--quiet", "--rm", container, KONG_FROM_FOLDER)
    return KONG_FROM_FOLDER


def build(buildah: Buildah, target: str, name: str, arguments: Mapping[str, str]) -> None:
    """Build one of Dockerfile's targets. Raises CalledProcessError."""
    print(f"── {name}", flush=True)
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    certificates = os.environ.get("PIP_CERT")
    if certificates:
        options += ["--build-arg=PIP_CERT=/run/ca.pem", f"--volume={certificates}:/run/ca.pem:ro"]
    # In Docker's format, since OCI's has no health checks.
    buildah(
        *("bud", "--quiet", "--pull=false"),
        *("--format", "docker", "--target", target, "--tag", name, *options, str(ROOT)),
        quiet=False,
    )


@dataclass(frozen=True)
class Image:
    """A built image, mounted: its files and its configuration."""

    name: str
    files: Path
    config: Mapping[str, Any]
    bytes: int

    @classmethod
    def mounted(cls, buildah: Buildah, name: str) -> "Image":
        """Mount an image of the store. Raises CalledProcessError."""
        config = json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"]
        files = Path(buildah("mount", buildah("from", "--pull-never", name)))
        size = subprocess.run(["du", "-sbx", files], capture_output=True, text=True, check=True)
        return cls(name, files, config, int(size.stdout.split()[0]))

    @property
    def environment(self) -> dict[str, str]:
        """The image's own variables."""
        return dict(line.split("=", 1) for line in self.config.get("Env") or ())

    @property
    def programs(self) -> set[str]:
        """The names of the programs that it can run."""
        path = self.environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        folders = [self.files / folder.lstrip("/") for folder in [*path.split(":"), "/opt/jan/bin"]]
        return {file.name for folder in folders if folder.is_dir() for file in folder.iterdir()}

    @property
    def command(self) -> list[str]:
        """What the image runs unless told otherwise."""
        return [*(self.config.get("Entrypoint") or ()), *self.config["Cmd"]]

    def entered(
        self, data: Path, command: Sequence[str], file: tuple[str, str] = ("", "")
    ) -> list[str]:
        """Return the command that runs ``command`` inside, as a container engine would.

        ``file`` is a file to mount, and where.
        """
        user, folder = self.config["User"], self.config["WorkingDir"] or "/"
        user = user if ":" in user else f"{user}:{user}"
        inside = WRITES_TO[self.name]
        where = (str(self.files), str(data), inside, *file, user, folder)
        return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", ENTER, "sh", *where, *command]

    def make_volume(self, folder: Path) -> None:
        """Make the folder that it writes to, with the owner inside the image, as engines do."""
        folder.mkdir(parents=True, exist_ok=True)
        inside = self.files / WRITES_TO[self.name].lstrip("/")
        shutil.copymode(inside, folder)
        os.chown(folder, inside.stat().st_uid, inside.stat().st_gid)

    def run(self, data: Path, *command: str, settings: Mapping[str, str] | None = None) -> int:
        """Run a command inside, silently, and return its exit status."""
        environment = {**self.environment, **(settings or {})}
        done = subprocess.run(
            self.entered(data, command), env=environment, capture_output=True, check=False
        )
        return done.returncode

    def health(self, data: Path, settings: Mapping[str, str], ports: Mapping[str, str]) -> int:
        """Run the image's health check and return its exit status.

        ``ports`` maps the image's own ports, which may be in use here, to those of this run.
        """
        kind, *command = self.config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise BrokenPromise(f"the health check of {self.name} needs no shell")
        for usual, here in ports.items():
            command = [word.replace(f":{usual}/", f":{here}/") for word in command]
        return self.run(data, *command, settings=settings)


@dataclass
class StackOfImages(Stack):
    """The demo's stack, with each part that has an image running in it."""

    images: Mapping[str, Image] = field(default_factory=dict)

    def _sidecar(self, secret: str, issuer: str) -> Part:
        part = super()._sidecar(secret, issuer)
        names = ("LISTEN", "INTERNAL_LISTEN", "STORAGE_BACKEND", "PUBLIC_URL", "GATEWAY_SECRET")
        chosen = {f"MEDIA_{name}": part.environment[f"MEDIA_{name}"] for name in names}
        return self._inside(part, SIDECAR, {**chosen, "MEDIA_ISSUER": issuer})

    def _demo_llm(self) -> Part:
        chosen = ("--host", HOST, "--port", str(self.ports.llm))
        return self._inside(super()._demo_llm(), DEMO_LLM, {}, *chosen)

    def _gateway(self, secret: str, issuer: str) -> Part:
        part = super()._gateway(secret, issuer)
        if KONG not in self.images:
            return part
        chosen = {
            "JAN_GATEWAY_SECRET": secret,
            "KONG_PROXY_LISTEN": f"{HOST}:{self.ports.gateway}",
            "KONG_ADMIN_GUI_LISTEN": "off",  # these ports may be in use here
            "KONG_STATUS_LISTEN": "off",
        }
        written = (str(self.folder / "kong.yml"), "/etc/kong/kong.yml")
        part = self._inside(part, KONG, chosen, file=written)
        data = self.data_of(KONG)
        logs = [data / "logs" / "error.log"]
        is_up = (data / "jan-media.sock").exists
        return replace(
            part,
            extra_logs=logs,
            is_ready=lambda: is_up() and gateway_is_ready(self.base_url),
            stop_whole_group=True,  # `kong start` does not forward signals
        )

    def _inside(
        self,
        part: Part,
        name: str,
        settings: Mapping[str, str],
        *arguments: str,
        file: tuple[str, str] = ("", ""),
    ) -> Part:
        """Return a part that runs in its image, with its own writable folder."""
        image = self.images[name]
        data = self.data_of(name)
        image.make_volume(data)
        return replace(
            part,
            command=image.entered(data, [*image.command, *arguments], file),
            environment={**image.environment, **settings},
        )

    def data_of(self, image: str) -> Path:
        """Return the folder that an image writes to."""
        return self.folder / image.rpartition("/")[2]


def check_contents(image: Image, base: Image, empty: Path) -> None:
    """Check what an image adds to its base image. Raises BrokenPromise."""
    own = image.bytes - base.bytes
    promised(own <= LARGEST_OWN_BYTES, f"{own / 2**20:.0f} MiB above the base image")
    promised(image.config["User"].split(":")[0] not in ("", "0", "root"), "does not run as root")
    found = sorted(image.programs & NOT_INSIDE - base.programs)
    promised(not found, "no compiler, pip, git or downloader inside " + ", ".join(found))
    python = "/opt/jan/bin/python"
    promised(image.run(empty, python, "-c", "import jan_media") == 0, "its Python has the package")
    promised(image.run(empty, python, "-c", "import pip") != 0, "and no pip to import")
    promised(image.run(empty, "touch", "/opt/jan/x") != 0, "its root file system is read-only")
    promised(image.run(empty, "touch", f"{WRITES_TO[image.name]}/x") == 0, "but for one folder")


def check_service(stack: StackOfImages) -> None:
    """Check health, an upload and a chat. Raises BrokenPromise."""
    listen = {"MEDIA_LISTEN": f"{HOST}:{stack.ports.public}"}
    usual, here = Ports(), stack.ports
    ports = {str(usual.llm): str(here.llm), str(usual.gateway): str(here.gateway)}
    for name, image in stack.images.items():
        health = image.health(stack.data_of(name), listen, ports)
        promised(health == 0, f"{name}: the health check passes")
    with httpx.Client(base_url=stack.base_url, timeout=30, trust_env=False) as client:
        token = client.post("/llm/auth/guest-login").json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        picture = drawn("images.jpg")
        answer = client.post("/media/v1/media", files={"file": ("images.jpg", picture)})
        promised(answer.status_code == 200, "an upload gets an id")
        image_url = {"url": answer.json()["id"]}
        content = [{"type": "image_url", "image_url": image_url}]
        answer = client.post(
            "/v1/chat/completions",
            json={"model": "jan-v2-30b", "messages": [{"role": "user", "content": content}]},
        )
        said = answer.json()["choices"][0]["message"]["content"]
        promised(f"{len(picture)} bytes" in said, f"the model saw the picture: {said!r}")


def check_stop(stack: StackOfImages) -> None:
    """Check that each part stops on SIGTERM. Raises BrokenPromise."""
    for part in stack.parts:
        process = part.process
        if process is None or (part.name == "gateway" and KONG not in stack.images):
            continue
        began = time.monotonic()
        if part.stop_whole_group:
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.terminate()
        process.wait(STOPS_WITHIN_SECONDS)
        promised(True, f"{part.name} stops within {time.monotonic() - began:.1f} s of SIGTERM")


def main() -> int:
    """Build, run and check."""
    if os.geteuid() != 0:
        print("make images needs root: it mounts the images' files.", file=sys.stderr)
        return 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "var" / "images"
    buildah = Buildah(folder)
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="jan-images-"))
    try:
        base = debian(buildah)
        build(buildah, "sidecar", SIDECAR, {"DEBIAN": base})
        build(buildah, "demo-llm", DEMO_LLM, {"DEBIAN": base, "SIDECAR": SIDECAR})
        standing_on = {SIDECAR: base, DEMO_LLM: base}
        if kong_base := kong(buildah):
            build(buildah, "kong", KONG, {"KONG": kong_base})
            standing_on[KONG] = kong_base
        else:
            print("── not Kong's: name Kong's own image in KONG (KONG=kong:3.9)", flush=True)
        images = {name: Image.mounted(buildah, name) for name in standing_on}
        bases = {each: Image.mounted(buildah, each) for each in set(standing_on.values())}
        for image in images.values():
            empty = work / "empty" / image.name
            image.make_volume(empty)
            print(f"── {image.name}: what is inside", flush=True)
            check_contents(image, bases[standing_on[image.name]], empty)
        print("── together" + ("" if KONG in images else ", behind devkong"), flush=True)
        stack = StackOfImages(work / "stack", free_ports(), images=images)
        with stack:
            check_service(stack)
            check_stop(stack)
    except subprocess.CalledProcessError as failed:
        print(f"{' '.join(map(str, failed.cmd[:8]))} … failed", file=sys.stderr)
        return 1
    except (BrokenPromise, PartFailed, subprocess.TimeoutExpired) as broken:
        print(f"   ✗ {broken}", file=sys.stderr)
        return 1
    finally:
        buildah("rm", "--all")
        shutil.rmtree(work, ignore_errors=True)
    print("The images are good. They are in buildah's store: " + str(folder / "store"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
