"""Coverage-guided fuzzing: ``python -m tests.fuzz.guided [READER …] --seconds N``.

Each reader of `tests.fuzz.readers` runs in a process of its own, from the inputs in
``tests/fuzz/corpus`` and those that earlier runs left in ``var/fuzz``. An input that fails is
saved there, and tried again by ``python -m tests.fuzz.guided READER --input FILE``.
"""

import argparse
import importlib.util
import logging
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.readers import READERS

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
FOUND = ROOT / "var" / "fuzz"
_LONGEST_INPUT = 2048  # bytes
_SLOWEST_INPUT = 30  # seconds, on a machine that is busy with other things
_MOST_MEMORY = 2048  # MiB
_WHERE_ATHERIS_IS = (
    "atheris is not installed. It exists for Linux on x86_64, with Python 3.11 to 3.13."
)
_STATE = re.compile(r"cov: (\d+) ft: \d+ corp: (\d+)")


def main() -> int:
    """Fuzz what the command line says. Returns 1 if a check failed."""
    arguments = _parse()
    if arguments.input is not None:
        for name in arguments.readers:
            importlib.import_module(f"tests.fuzz.readers.{name}").check(
                arguments.input.read_bytes()
            )
        return 0
    if arguments.inside:
        _fuzz(arguments.readers[0], arguments.seconds)
    if importlib.util.find_spec("atheris") is None:
        sys.stdout.write(f"No fuzzing led by coverage: {_WHERE_ATHERIS_IS}\n")
        return 0
    failed = [name for name in arguments.readers if not _fuzz_outside(name, arguments.seconds)]
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.fuzz.guided", description=__doc__)
    parser.add_argument("readers", nargs="*", default=list(READERS), metavar="READER")
    parser.add_argument("--seconds", type=int, default=20, help="how long for each reader")
    parser.add_argument("--input", type=Path, help="only try this file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.readers) - READERS.keys():
        parser.error(f"there is no reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    return arguments


def _fuzz_outside(name: str, seconds: int) -> bool:
    """Fuzz in another process, which a failure ends; print what came of it in a line."""
    again = [sys.executable, "-m", "tests.fuzz.guided", name, "--seconds", str(seconds), "--inside"]
    ran = subprocess.run(
        again, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    said = ran.stdout.decode(errors="replace")
    sys.stdout.write(f"{name:16} {_summary(said)}\n")
    if ran.returncode:
        why = said[max(0, said.find(" === Uncaught Python exception")) :]
        sys.stdout.write(f"{why[-8000:]}\n{name}: FAILED, see above\n")
    sys.stdout.flush()
    return ran.returncode == 0


def _summary(said: str) -> str:
    """What libFuzzer said of a run, in a few words."""
    executions = re.search(r"number_of_executed_units: (\d+)", said)
    states = _STATE.findall(said)
    if executions is None or not states:
        return "ended before it began"
    (coverage, inputs), (begun, _) = states[-1], states[0]
    return (
        f"{int(executions[1]):>10,} executions  coverage {begun:>5} -> {coverage:>5}"
        f"  inputs kept {inputs:>5}"
    )


def watched(name: str) -> list[str]:
    """The modules whose coverage leads the way: the reader's, and what it is held against."""
    return [*READERS[name], f"tests.fuzz.readers.{name}", "tests.unit.plugin.slow_rewrite"]


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one reader. Does not return: libFuzzer ends the process."""
    import atheris

    logging.disable()
    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=watched(name)):
        reader = importlib.import_module(f"tests.fuzz.readers.{name}")
    found = FOUND / name
    corpus = found / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    words = found / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in reader.WORDS))
    flags = [
        *(f"-max_total_time={seconds}", f"-dict={words}", f"-artifact_prefix={found}/"),
        *(f"-max_len={_LONGEST_INPUT}", f"-timeout={_SLOWEST_INPUT}"),
        *(f"-rss_limit_mb={_MOST_MEMORY}", "-print_final_stats=1"),
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus), str(CORPUS / name)], reader.check)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main())
