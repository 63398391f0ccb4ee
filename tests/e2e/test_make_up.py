"""`make up`: one line when ready, and nothing left behind after Ctrl-C or SIGTERM."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from demo.addresses import HOST, Ports, free_ports
from demo.kong_settings import ROOT
from tests.e2e.processes import family, processes
from tests.support.waiting import wait_until


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_up_says_when_it_is_ready_and_stops_clean(tmp_path: Path, stop: signal.Signals) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "demo.stack", "--free-ports", "--folder", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert up.stdout is not None
        line = up.stdout.readline()
        ready = re.match(r"ready: (http://127\.0\.0\.1:\d+) ", line)
        assert ready, line
        assert httpx.get(f"{ready[1]}/media/healthz", trust_env=False).status_code == 200
        up.send_signal(stop)
        rest, errors = up.communicate(timeout=30)
    finally:
        up.kill()
    assert (up.returncode, rest, errors) == (0, "stopped\n", "")
    left = [command for _, _, command in processes() if str(tmp_path) in command]
    assert left == []


def test_up_stops_in_the_middle_of_its_start(tmp_path: Path) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "demo.stack", "--free-ports", "--folder", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until((tmp_path / "logs" / "sidecar.log").exists)
        up.send_signal(signal.SIGTERM)
        printed, _ = up.communicate(timeout=20)
    finally:
        up.kill()
    assert (up.returncode, printed) == (0, "stopped\n")


def test_nothing_outlives_a_killed_stack(tmp_path: Path) -> None:
    up = subprocess.Popen(
        [sys.executable, "-m", "demo.stack", "--free-ports", "--folder", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    assert up.stdout.readline().startswith("ready")
    below = [pid for pid, _ in family(up.pid) if pid != up.pid]
    up.kill()
    up.communicate()
    wait_until(lambda: not [each for each in processes() if each[0] in below and each[2]])


def test_up_finds_other_inner_ports_when_the_usual_ones_are_taken(tmp_path: Path) -> None:
    gateway = free_ports().gateway
    with ExitStack() as taken:
        for port in (Ports().public, Ports().internal, Ports().llm):
            with suppress(OSError):  # somebody else's is as good
                taken.enter_context(socket.create_server((HOST, port)))
        up = subprocess.Popen(
            [sys.executable, "-m", "demo.stack", "--folder", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "GATEWAY_PORT": str(gateway)},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert up.stdout is not None
            line = up.stdout.readline()
            assert line.startswith(f"ready: http://127.0.0.1:{gateway} "), line
            assert f"logs in {tmp_path / 'logs'}" in line
            up.send_signal(signal.SIGTERM)
            up.communicate(timeout=30)
        finally:
            up.kill()
