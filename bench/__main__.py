"""Runs all benches, one after the other: ``python -m bench`` (make bench), in under ten minutes.

With ``--docs`` it measures nothing, and writes the last tables into docs/performance.md.
"""

import argparse
import json
import re
import subprocess
import sys
import time

from bench.report import RESULTS, ROOT

BENCHES = ["plugin_server", "gateway", "large_bodies", "sidecar", "sidecar_memory"]
PAGE = ROOT / "docs" / "performance.md"
SHOWN = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end of bench -->)", re.DOTALL)


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES], metavar="NAME", help="or all")
    parser.add_argument("--docs", action="store_true", help="write the last tables into docs")
    given = parser.parse_args()
    if given.docs:
        PAGE.write_text(SHOWN.sub(_last_table, PAGE.read_text("utf-8")), "utf-8")
        return 0
    failed = [name for name in given.names or BENCHES if not _run(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str) -> bool:
    print(f"\n## {name}\n", flush=True)
    start = time.monotonic()
    command = [sys.executable, "-m", f"bench.{name}"]
    done = subprocess.run(command, cwd=ROOT, check=False)
    print(f"({name}: {time.monotonic() - start:.0f} s)", flush=True)
    return done.returncode == 0


def _last_table(found: "re.Match[str]") -> str:
    file = RESULTS / f"{found[2]}.json"
    if not file.exists():
        raise SystemExit(f"bench.{found[2]} has not run yet: there is no {file}")
    return f"{found[1]}\n{json.loads(file.read_text('utf-8'))['text']}\n\n{found[3]}"


if __name__ == "__main__":
    sys.exit(main())
