"""Bring into the corpus what fuzzing has found: ``python -m tests.fuzz.keep [READER …]``.

It tries the inputs that earlier runs left in ``var/fuzz``, the shortest first, and keeps each that
takes a step from one line of our code to another which none before it takes.
"""

import hashlib
import importlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.guided import CORPUS, FOUND, watched
from tests.fuzz.readers import READERS

_LONGEST = 600  # bytes: what is read by people should be short
_OURS = ("jan_media", "tests.")
Step = tuple[str, int, int]


def main() -> None:
    """Add to the corpus of the readers that the command line names, or of all."""
    logging.disable()
    for name in sys.argv[1:] or READERS:
        check = importlib.import_module(f"tests.fuzz.readers.{name}").check
        folders = _folders([module for module in watched(name) if module.startswith(_OURS)])
        known: set[Step] = set()
        for path in sorted((CORPUS / name).iterdir()):
            known |= steps_of(check, path.read_bytes(), folders)
        found = [path.read_bytes() for path in (FOUND / name / "corpus").glob("*")]
        kept = 0
        for data in sorted(found, key=lambda data: (len(data), data)):
            steps = steps_of(check, data, folders)
            if len(data) <= _LONGEST and not steps <= known:
                known |= steps
                kept += 1
                (CORPUS / name / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
        sys.stdout.write(f"{name}: kept {kept} of {len(found)}\n")


def _folders(modules: list[str]) -> tuple[str, ...]:
    """The files and folders that the code of these modules is in."""
    files = [str(importlib.import_module(module).__file__) for module in modules]
    return tuple(file.removesuffix("__init__.py") for file in files)


def steps_of(check: Callable[[bytes], None], data: bytes, folders: tuple[str, ...]) -> set[Step]:
    """The steps from line to line that a check takes in code below ``folders``."""
    steps: set[Step] = set()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(folders):
            return None
        file, last = Path(frame.f_code.co_filename).name, 0

        def line(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal last
            if event == "line":
                steps.add((file, last, frame.f_lineno))
                last = frame.f_lineno
            return line

        return line

    sys.settrace(enter)
    try:
        check(data)
    finally:
        sys.settrace(None)
    return steps


if __name__ == "__main__":
    main()
