"""All parts on one machine: sidecar, demo LLM and gateway, as processes on the loopback address.

    python -m demo.stack        (make up)

GATEWAY_PORT      the gateway's port, 8000 unless set
KONG_BIN          a Kong executable to run instead of devkong
LLM_UPSTREAM_URL  a model to put behind /v1 instead of the demo LLM
MEDIA_…           any of the sidecar's settings, see docs/configuration.md
"""

import argparse
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

import httpx

from demo.addresses import HOST, Ports, free_ports, is_free, url, with_free_inner_ports
from demo.kong_settings import ROOT, kong_environment, kong_yml_for
from demo.part import Part, PartFailed, answers

# Unix socket paths are at most 107 bytes; the plugin server's socket is below Kong's prefix.
LONGEST_PREFIX = 107 - len("/jan-media.sock")


@dataclass
class Stack:
    """The parts, started in the order of their dependencies.

    Use it as a context manager: leaving it stops everything that it has started.
    """

    folder: Path
    ports: Ports = field(default_factory=Ports)
    kong_bin: str | None = None
    llm_upstream: str | None = None
    llm_limits: str = "none"
    """Whose limits the demo LLM has: see demo/limits.py."""
    media_settings: Mapping[str, str] = field(default_factory=dict)
    kong_yml: Path = ROOT / "kong.yml"
    go_on: Callable[[], None] = lambda: None
    """Called again and again during the start; an exception from it ends the start."""
    parts: list[Part] = field(default_factory=list, init=False)
    _short_prefix: Path | None = field(default=None, init=False)

    @property
    def base_url(self) -> str:
        """Where clients reach the gateway."""
        return url(self.ports.gateway)

    @property
    def gateway(self) -> Part:
        """The part named `gateway`."""
        return next(part for part in self.parts if part.name == "gateway")

    def __enter__(self) -> "Stack":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts each part and waits until it is ready. Raises PartFailed."""
        self.folder = self.folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        refuse_taken_ports(self.ports, with_llm=self.llm_upstream is None)
        secret = os.environ.get("JAN_GATEWAY_SECRET") or secrets.token_urlsafe(32)
        issuer = self.media_settings.get("MEDIA_ISSUER") or os.environ.get(
            "MEDIA_ISSUER", f"http://localhost:{self.ports.gateway}/llm"
        )
        side_by_side = [self._sidecar(secret, issuer)]
        if self.llm_upstream is None:
            side_by_side.append(self._demo_llm())
        for part in side_by_side:
            self.go_on()
            self.parts.append(part)
            part.start()
        for part in side_by_side:
            part.wait_until_ready(self.go_on)
        gateway = self._gateway(secret, issuer)
        self.parts.append(gateway)
        gateway.start()
        gateway.wait_until_ready(self.go_on)

    def stop(self) -> None:
        """Stops the parts, the gateway first, so that no request goes to a stopped part."""
        for part in reversed(self.parts):
            part.stop()
        if self._short_prefix is not None:
            shutil.rmtree(self._short_prefix, ignore_errors=True)

    def check(self) -> None:
        """Raises PartFailed if a part has died."""
        for part in self.parts:
            part.check()

    def _sidecar(self, secret: str, issuer: str) -> Part:
        environment = {
            "MEDIA_STORAGE_BACKEND": "local",
            "MEDIA_DATA_DIR": str(self.folder / "media"),
            # Signed URLs lead through the gateway: one address for clients and for the model.
            "MEDIA_PUBLIC_URL": f"{self.base_url}/media",
            **os.environ,
            **self.media_settings,
            "MEDIA_LISTEN": f"{HOST}:{self.ports.public}",
            "MEDIA_INTERNAL_LISTEN": f"{HOST}:{self.ports.internal}",
            "MEDIA_GATEWAY_SECRET": secret,
            "MEDIA_ISSUER": issuer,
        }
        return Part(
            name="sidecar",
            command=[sys.executable, "-m", "jan_media", "serve"],
            environment=environment,
            log=self.folder / "logs" / "sidecar.log",
            is_ready=answers(url(self.ports.public, "/readyz")),
        )

    def _demo_llm(self) -> Part:
        return Part(
            name="demo LLM",
            command=[
                *(sys.executable, "-m", "demo.llm"),
                *("--port", str(self.ports.llm), "--limits", self.llm_limits),
            ],
            environment={**os.environ, "PYTHONPATH": str(ROOT)},
            log=self.folder / "logs" / "llm.log",
            is_ready=answers(url(self.ports.llm, "/healthz")),
        )

    def _gateway(self, secret: str, issuer: str) -> Part:
        config = self.folder / "kong.yml"
        config.write_text(
            kong_yml_for(self.kong_yml.read_text("utf-8"), self.ports, issuer, self.llm_upstream),
            "utf-8",
        )
        prefix = self._kong_prefix()
        plugin_server = prefix / "jan-media.sock"
        plugin_server.unlink(missing_ok=True)  # left by a stack that was killed
        environment = {
            **os.environ,
            **kong_environment(prefix, config, self.ports, secret),
        }
        environment["KONG_PLUGINSERVER_JAN_MEDIA_START_CMD"] += (
            f" --metrics-listen {HOST}:{self.ports.plugin_metrics}"
        )
        if self.kong_bin:
            command = [self.kong_bin, "start"]
        else:
            command = [sys.executable, "-m", "devkong", "start"]
        return Part(
            name="gateway",
            command=command,
            environment=environment,
            log=self.folder / "logs" / "gateway.log",
            extra_logs=[prefix / "logs" / "error.log"],
            # Not asked before the plugin server is there: the gateway would log an error.
            is_ready=lambda: plugin_server.exists() and gateway_is_ready(self.base_url),
            stop_whole_group=self.kong_bin is not None,
        )

    def _kong_prefix(self) -> Path:
        prefix = self.folder / "kong"
        if len(str(prefix)) > LONGEST_PREFIX:
            self._short_prefix = prefix = Path(tempfile.mkdtemp(prefix="jan-kong-"))
        prefix.mkdir(parents=True, exist_ok=True)
        (prefix / "jan-media.sock").unlink(missing_ok=True)
        return prefix


def gateway_is_ready(base_url: str) -> bool:
    """True if routes lead to the sidecar and the plugin itself answers, not only its guard."""
    try:
        health = httpx.get(f"{base_url}/media/healthz", timeout=2, trust_env=False)
        refusal = httpx.get(f"{base_url}/v1/models", timeout=5, trust_env=False)
        return health.is_success and refusal.json()["error"]["type"] == "authentication_error"
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def refuse_taken_ports(ports: Ports, with_llm: bool) -> None:
    """Raises PartFailed, naming each port that another program already uses."""
    wanted = {
        "gateway (GATEWAY_PORT changes it)": ports.gateway,
        "sidecar": ports.public,
        "sidecar, internal": ports.internal,
        **({"demo LLM": ports.llm} if with_llm else {}),
    }
    taken = [f"{port}, wanted for the {name}" for name, port in wanted.items() if not is_free(port)]
    if taken:
        raise PartFailed("Another program uses port " + "; and ".join(taken) + ".")


def chosen_kong(environment: Mapping[str, str]) -> str | None:
    """The Kong executable that KONG_BIN names, or None for devkong. Raises PartFailed."""
    named = environment.get("KONG_BIN")
    if not named:
        return None
    found = shutil.which(named)
    if found is None:
        raise PartFailed(f"KONG_BIN is {named!r}, which is not an executable file.")
    return str(Path(found).resolve()) if os.sep in named else found


class _ToldToStop:
    """Notes SIGINT and SIGTERM, and raises only in `check`.

    An exception from a signal handler can occur anywhere: where Python drops it (in its callbacks
    around a fork), or where it interrupts a stop in progress.
    """

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._told = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if it is time to stop."""
        if self._told:
            raise KeyboardInterrupt


def main() -> int:
    """Runs the stack in the foreground until Ctrl-C or SIGTERM."""
    arguments = argparse.ArgumentParser(description="All parts on one machine.")
    arguments.add_argument("--folder", type=Path, default=ROOT / "var", help="data and logs")
    arguments.add_argument("--free-ports", action="store_true", help="not those of kong.yml")
    chosen = arguments.parse_args()
    told_to_stop = _ToldToStop()
    try:
        port = int(os.environ.get("GATEWAY_PORT", "8000"))
        stack = Stack(
            folder=chosen.folder,
            ports=free_ports() if chosen.free_ports else with_free_inner_ports(port),
            kong_bin=chosen_kong(os.environ),
            llm_upstream=os.environ.get("LLM_UPSTREAM_URL") or None,
            go_on=told_to_stop.check,
        )
        with stack:
            gateway = "Kong" if stack.kong_bin else "devkong"
            told_to_stop.check()
            print(
                f"ready: {stack.base_url} ({gateway}, data in {stack.folder}, "
                f"logs in {stack.folder / 'logs'}). Ctrl-C stops it.",
                flush=True,
            )
            while True:
                told_to_stop.check()
                stack.check()
                time.sleep(0.2)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        return 0
    except (PartFailed, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
