"""The processor time and memory of processes, as Linux counts them (proc(5))."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_RESET_PEAKS = "5"
# Fields of stat after the name: the group, times of the process, times of ended children.
_GROUP, _OWN, _ENDED = 2, slice(11, 13), slice(13, 15)


class Processes:
    """A running process and its current children."""

    def __init__(self, pid: int) -> None:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.children = [int(child) for child in children]
        self._folders = [Path(f"/proc/{each}") for each in (pid, *self.children)]

    def cpu_seconds(self, *, ended: bool = False) -> float:
        """Processor time of all of them, in user and kernel mode.

        ``ended`` adds that of children that have ended.
        """
        ticks = sum(_ticks(folder, _OWN) for folder in self._folders)
        return (ticks + (_ticks(self._folders[0], _ENDED) if ended else 0)) / _TICKS

    def reset_peaks(self) -> None:
        """Restart the peaks of `peak_bytes`."""
        for folder in self._folders:
            (folder / "clear_refs").write_text(_RESET_PEAKS)

    def peak_bytes(self) -> int:
        """The sum of their peaks of resident memory. A shared page counts once for each."""
        return sum(_bytes(folder / "status", "VmHWM") for folder in self._folders)

    def resident_bytes(self) -> int:
        """Their current resident memory, summed as in `peak_bytes`."""
        return sum(_bytes(folder / "status", "VmRSS") for folder in self._folders)

    def proportional_bytes(self) -> int:
        """Their current memory (PSS): a shared page is divided among those that share it."""
        return sum(_bytes(folder / "smaps_rollup", "Pss") for folder in self._folders)

    def alone_bytes(self) -> int:
        """`proportional_bytes` as if no other program had loaded the same libraries.

        An estimate: it takes the process with the most pages of the libraries to have them all.
        """
        rollups = [folder / "smaps_rollup" for folder in self._folders]
        files = max(_bytes(rollup, "Rss") - _bytes(rollup, "Anonymous") for rollup in rollups)
        return files + sum(_bytes(rollup, "Pss_Anon") for rollup in rollups)


def group_cpu_seconds(group: int) -> float:
    """Processor time of a process group's current processes: a gateway and its plugin server."""
    return sum(_ticks(folder, _OWN) for folder in _of_group(group)) / _TICKS


def reset_group_peaks(group: int) -> None:
    """Restart the peaks of `group_peak_bytes`."""
    for folder in _of_group(group):
        (folder / "clear_refs").write_text(_RESET_PEAKS)


def group_peak_bytes(group: int) -> int:
    """The sum of the peaks of resident memory of a process group's processes."""
    return sum(_bytes(folder / "status", "VmHWM") for folder in _of_group(group))


def _of_group(group: int) -> Iterator[Path]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if int(_stat(folder)[_GROUP]) == group:
                    yield folder


def _stat(folder: Path) -> list[str]:
    # The second field, the name, may contain spaces and brackets.
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _ticks(folder: Path, which: slice) -> int:
    return sum(map(int, _stat(folder)[which]))


def _bytes(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", file.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{file} has no {name}")
    return int(found[1]) * 1024
