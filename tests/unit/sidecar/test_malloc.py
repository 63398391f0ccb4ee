"""What the C library is told."""

import subprocess
import sys

import pytest

# glibc gives a thread an arena of its own with its first allocation, until there are too many.
ALLOCATE = """
import ctypes, threading
from jan_media.server.malloc import use_two_arenas
{call}
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
all_there = threading.Barrier(16)
def allocate():
    all_there.wait()
    libc.malloc(1000)
    all_there.wait()
threads = [threading.Thread(target=allocate) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@pytest.mark.parametrize(("call", "few"), [("", False), ("use_two_arenas()", True)])
def test_threads_share_two_arenas(call: str, few: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATE.format(call=call)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.count("<heap nr=") <= 2) is few
