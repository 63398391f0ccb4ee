"""All benches, one after the other: ``python -m bench`` (make bench), in under ten minutes.

Each prints its tables and writes its figures to bench/results; the plot comes last. With
``--docs`` nothing is measured: the last figures are written into the pages of docs that show them.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.report import RESULTS, ROOT

BENCHES: dict[str, list[str]] = {
    "plugin_server": [],
    "handler": [],
    "caches": [],
    "gateway": [],
    "rewrite": [],
    "large_body": [],
    "keeping": [],
    "simulation": [],
    # Their own short forms: docs/performance.md, "The sidecar", says how to run the long ones.
    "sidecar": ["--passes", "2", "--seconds", "2", "--json", str(RESULTS / "sidecar.json")],
    "capacity": [],  # last: it reckons with the others' figures
}
PAGES = [ROOT / "docs" / "performance.md", ROOT / "docs" / "scaling.md"]
_SHOWN = re.compile(r"(<!-- bench: (\w+) -->\n).*?(<!-- end of bench -->)", re.DOTALL)


def main() -> int:
    """Run what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}; or all")
    parser.add_argument("--docs", action="store_true", help="write the last figures into docs")
    flags = parser.parse_args()
    unknown = set(flags.names) - set(BENCHES)
    if unknown:
        parser.error(f"no such bench: {', '.join(sorted(unknown))}")
    if flags.docs:
        return _write_docs()
    failed = [name for name in flags.names or BENCHES if not _run(name)]
    if not flags.names or "rewrite" in flags.names:
        subprocess.run([sys.executable, "-m", "bench.plot"], cwd=ROOT, check=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str) -> bool:
    print(f"\n## {name}\n", flush=True)
    start = time.monotonic()
    RESULTS.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", f"bench.{name}", *BENCHES[name]], cwd=ROOT, check=False
    )
    print(f"({name}: {time.monotonic() - start:.0f} s)", flush=True)
    return done.returncode == 0


def _write_docs() -> int:
    for page in PAGES:
        written = page.read_text("utf-8")
        page.write_text(_SHOWN.sub(_shown, written), "utf-8")
    return subprocess.run(
        [sys.executable, "-m", "bench.plot", "--docs"], cwd=ROOT, check=True
    ).returncode


def _shown(found: "re.Match[str]") -> str:
    file = RESULTS / f"{found[2]}.json"
    if not Path(file).exists():
        raise SystemExit(f"bench.{found[2]} has not run yet: there is no {file}")
    text = json.loads(file.read_text("utf-8"))["text"]
    return f"{found[1]}\n{text}\n\n{found[3]}"


if __name__ == "__main__":
    sys.exit(main())
