"""Builds the sidecar's and the demo model's image, runs them, and checks what they promise.

    python -m deploy.images [FOLDER]       (make images, as root)

It needs buildah and unshare, and no container engine: an image's files are mounted as its root,
read-only, in a mount namespace of its own, and its command runs there as its user. In front of the
two stands devkong, outside.

DEBIAN    the image that they stand on, as `docker pull` names it. Without it, one is made with
          debootstrap, which takes half a minute and needs no image registry.
PIP_CERT  a file with certificates, where packages come through a proxy of your own
"""

import json
import os
import shutil
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
from demo.stack import Stack

DEBIAN_MADE_HERE = "localhost/jan-media-debian"
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
SIDECAR = "localhost/jan-media-sidecar"
DEMO_LLM = "localhost/jan-media-demo-llm"

# Beyond the base image, which every other container of a machine shares.
LARGEST_OWN_BYTES = 300 * 1024 * 1024
NOT_INSIDE = ("pip", "pip3", "gcc", "cc", "make", "git", "curl", "wget")
STOPS_WITHIN_SECONDS = 10.0

# Enters an image: $1 its files, $2 the folder for /data, $3 user:group, $4 the working folder,
# then the command. The mounts are gone with the last process of the namespace.
ENTER = """
set -e
root=$1 data=$2 user=$3 folder=$4; shift 4
mount --bind "$root" "$root"
mount --bind "$data" "$root/data"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/env --chdir="$folder" /usr/bin/setpriv \
  --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs --pdeathsig TERM "$@"
"""


class BrokenPromise(Exception):
    """An image is not what it should be. The message says how."""


def promised(holds: bool, promise: str) -> None:
    """Print a promise that is kept. Raises BrokenPromise for one that is not."""
    if not holds:
        raise BrokenPromise(promise)
    print(f"   ✓ {promise}", flush=True)


@dataclass(frozen=True)
class Buildah:
    """buildah with a store of its own, below ``folder``."""

    folder: Path

    def __call__(self, *arguments: str, quiet: bool = True) -> str:
        """Run a command of buildah and return what it prints. Raises CalledProcessError."""
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


def build(buildah: Buildah, target: str, name: str, arguments: Mapping[str, str]) -> None:
    """Build one of Dockerfile's targets. Raises CalledProcessError."""
    print(f"── {name}", flush=True)
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    certificates = os.environ.get("PIP_CERT")
    if certificates:
        options += ["--build-arg=PIP_CERT=/run/ca.pem", f"--volume={certificates}:/run/ca.pem:ro"]
    # With Docker's format, since OCI's has no health checks.
    buildah(
        *("bud", "--quiet", "--pull-never" if "DEBIAN" not in os.environ else "--pull"),
        *("--format", "docker", "--target", target, "--tag", name, *options, str(ROOT)),
        quiet=False,
    )


@dataclass(frozen=True)
class Image:
    """A built image, mounted: its files and what it says of itself."""

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
        return dict(line.split("=", 1) for line in self.config["Env"])

    def entered(self, data: Path, command: Sequence[str]) -> list[str]:
        """Return the command that runs ``command`` inside, as a container engine would."""
        user, folder = self.config["User"], self.config["WorkingDir"] or "/"
        where = (str(self.files), str(data), user, folder)
        return ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", ENTER, "sh", *where, *command]

    def run(self, data: Path, *command: str, settings: Mapping[str, str] | None = None) -> int:
        """Run a command inside, silently, and return its exit status."""
        environment = {**self.environment, **(settings or {})}
        done = subprocess.run(
            self.entered(data, command), env=environment, capture_output=True, check=False
        )
        return done.returncode

    def health(self, data: Path, settings: Mapping[str, str], ports: Mapping[str, str]) -> int:
        """Run the image's health check and return its exit status.

        ``ports`` are those of this run in place of the image's own, which may be taken here.
        """
        kind, *command = self.config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise BrokenPromise(f"the health check of {self.name} needs no shell")
        for usual, here in ports.items():
            command = [word.replace(f":{usual}/", f":{here}/") for word in command]
        return self.run(data, *command, settings=settings)


@dataclass
class StackOfImages(Stack):
    """The demo's stack, with the sidecar and the demo model out of their images."""

    images: Mapping[str, Image] = field(default_factory=dict)

    def _sidecar(self, secret: str, issuer: str) -> Part:
        part = super()._sidecar(secret, issuer)
        names = ("LISTEN", "INTERNAL_LISTEN", "STORAGE_BACKEND", "PUBLIC_URL", "GATEWAY_SECRET")
        chosen = {f"MEDIA_{name}": part.environment[f"MEDIA_{name}"] for name in names}
        return self._inside(part, SIDECAR, {**chosen, "MEDIA_ISSUER": issuer})

    def _demo_llm(self) -> Part:
        chosen = ("--host", HOST, "--port", str(self.ports.llm))
        return self._inside(super()._demo_llm(), DEMO_LLM, {}, *chosen)

    def _inside(self, part: Part, image: str, settings: Mapping[str, str], *arguments: str) -> Part:
        """Return a part that runs in its image, with a folder of its own as /data."""
        inside = self.images[image]
        data = self.data_of(image)
        data.mkdir(parents=True)
        user, group = map(int, inside.config["User"].split(":"))
        os.chown(data, user, group)
        return replace(
            part,
            command=inside.entered(data, [*inside.config["Cmd"], *arguments]),
            environment={**inside.environment, **settings},
        )

    def data_of(self, image: str) -> Path:
        """Return the folder that is an image's /data."""
        return self.folder / image.rpartition("/")[2]


def check_contents(image: Image, base: int, empty: Path) -> None:
    """Check what lies in an image. Raises BrokenPromise."""
    own = image.bytes - base
    promised(own <= LARGEST_OWN_BYTES, f"{own / 2**20:.0f} MiB above the base image")
    promised(image.config["User"].split(":")[0] not in ("", "0", "root"), "runs as no root")
    folders = image.environment["PATH"].split(":")
    found = [
        name
        for name in NOT_INSIDE
        if any((image.files / folder.lstrip("/") / name).exists() for folder in folders)
    ]
    promised(not found, "no compiler, pip, git or downloader inside " + ", ".join(found))
    promised(image.run(empty, "python", "-c", "import pip") != 0, "no pip to import either")
    promised(image.run(empty, "touch", "/opt/jan/x") != 0, "its root file system is only read")


def check_service(stack: StackOfImages) -> None:
    """Check health, an upload and a chat. Raises BrokenPromise."""
    listen = {"MEDIA_LISTEN": f"{HOST}:{stack.ports.public}"}
    llm = {str(Ports().llm): str(stack.ports.llm)}
    for name, image in stack.images.items():
        health = image.health(stack.data_of(name), listen, llm)
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
    """Check that each part ends by itself when it is told to. Raises BrokenPromise."""
    for part in stack.parts:
        process = part.process
        if process is None or part.name == "gateway":
            continue
        began = time.monotonic()
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
        size_of_base = Image.mounted(buildah, base).bytes
        images = {name: Image.mounted(buildah, name) for name in (SIDECAR, DEMO_LLM)}
        empty = work / "empty"
        empty.mkdir()
        for image in images.values():
            print(f"── {image.name}: what is inside", flush=True)
            check_contents(image, size_of_base, empty)
        print("── both, behind devkong", flush=True)
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
