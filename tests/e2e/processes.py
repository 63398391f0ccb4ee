"""This machine's processes, from /proc."""

from collections.abc import Iterator
from pathlib import Path


def processes() -> Iterator[tuple[int, int, str]]:
    """Every process: its id, its parent's id, its command line."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, ValueError):
                continue
            yield int(entry.name), parent, command


def family(ancestor: int) -> list[tuple[int, str]]:
    """A process and all below it: ids and command lines."""
    found = list(processes())
    members = {ancestor}
    while not (children := {pid for pid, parent, _ in found if parent in members}) <= members:
        members |= children
    return [(pid, command) for pid, _, command in found if pid in members]


def plugin_servers(gateway: int) -> list[int]:
    """The processes of the plugin server below a gateway."""
    return [pid for pid, command in family(gateway) if "jan_media_plugin" in command]
