"""The examples of docs/media-api-examples.md, extracted from the page and run as printed.

Only hosts, files and the page's sample ids are substituted. The examples of a language run in
the order of the page, and keep their variables from one to the next.
"""

import contextlib
import io
import json
import re
import subprocess
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "media-api-examples.md"
READER_SECONDS = 100


@dataclass(frozen=True)
class Example:
    """A fenced block: its language, the heading above it, and which one below that heading."""

    language: str
    heading: str
    number: int
    source: str

    @property
    def name(self) -> str:
        """For test ids and tables."""
        suffix = f" ({self.number})" if self.number > 1 else ""
        return f"{self.language}: {self.heading}{suffix}"

    @property
    def needs_a_browser(self) -> bool:
        """True for an example that uses more of a page than the files of an input element."""
        return self.language == "javascript" and any(
            each in self.source for each in ("FileReader", "createElement", "canvas")
        )


@dataclass(frozen=True)
class Outcome:
    """What an example printed, and how it failed (empty if it did not)."""

    printed: str
    failure: str


def examples(page: str) -> list[Example]:
    """All fenced blocks of a Markdown page, in order."""
    found: list[Example] = []
    heading = ""
    for match in re.finditer(
        r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL
    ):
        if match[1]:
            heading = match[1]
            continue
        number = 1 + sum(e.language == match[2] and e.heading == heading for e in found)
        found.append(Example(match[2], heading, number, match[3]))
    return found


def substituted(source: str, substitutions: Mapping[str, str]) -> str:
    """The source with hosts and sample ids exchanged."""
    for before, after in substitutions.items():
        source = source.replace(before, after)
    return source


def read_python(sources: Sequence[str], folder: Path) -> list[Outcome]:
    """Runs Python examples in one namespace, with `folder` as the current folder."""
    namespace: dict[str, object] = {}
    outcomes = []
    with contextlib.chdir(folder):
        for source in sources:
            printed, failure = io.StringIO(), ""
            with contextlib.redirect_stdout(printed):
                try:
                    exec(compile(source, "example", "exec"), namespace)
                except Exception:
                    failure = traceback.format_exc()
            outcomes.append(Outcome(printed.getvalue(), failure))
    return outcomes


def read_bash(sources: Sequence[str], folder: Path) -> list[Outcome]:
    """Runs shell examples in one bash."""
    script = []
    for index, source in enumerate(sources):
        (folder / f"{index}.sh").write_text(source)
        script.append(f"source ./{index}.sh >{index}.out 2>{index}.err; echo $? >{index}.status")
    subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=folder, check=True, timeout=READER_SECONDS
    )
    outcomes = []
    for index in range(len(sources)):
        status = (folder / f"{index}.status").read_text().strip()
        failure = "" if status == "0" else (folder / f"{index}.err").read_text() + status
        outcomes.append(Outcome((folder / f"{index}.out").read_text(), failure))
    return outcomes


def declared_names(source: str) -> list[str]:
    """The names that a JavaScript example declares at its top level."""
    names = []
    for match in re.finditer(r"^(?:const|let) (?:(\w+)|\{([^}]*)\}) =", source, re.MULTILINE):
        if match[1]:
            names.append(match[1])
        else:
            names += [part.split(":")[-1].strip() for part in match[2].split(",")]
    return names


def read_javascript(sources: Sequence[str], folder: Path) -> list[Outcome]:
    """Runs JavaScript examples with Node, each as a module; declared names outlive each module.

    A page's file input stands in `document`, holding photo.jpg of the folder.
    """
    for index, source in enumerate(sources):
        kept = f"\nObject.assign(globalThis, {{ {', '.join(declared_names(source))} }});\n"
        (folder / f"{index}.mjs").write_text(source + kept)
    (folder / "reader.mjs").write_text(
        f"""
        import {{ File }} from "node:buffer";
        import {{ readFileSync }} from "node:fs";
        const photo = new File([readFileSync("photo.jpg")], "photo.jpg", {{ type: "image/jpeg" }});
        globalThis.document = {{ getElementById: () => ({{ files: [photo] }}) }};
        const outcomes = [];
        for (let index = 0; index < {len(sources)}; index++) {{
          const printed = [];
          let failure = "";
          console.log = (...values) => printed.push(values.join(" ") + "\\n");
          try {{
            await import(`./${{index}}.mjs`);
          }} catch (problem) {{
            failure = String(problem.stack ?? problem);
          }}
          outcomes.push({{ printed: printed.join(""), failure }});
        }}
        process.stdout.write(JSON.stringify(outcomes));
        """
    )
    finished = subprocess.run(
        ["node", "reader.mjs"], cwd=folder, capture_output=True, timeout=READER_SECONDS, check=True
    )
    return [Outcome(**each) for each in json.loads(finished.stdout)]


READERS = {"python": read_python, "bash": read_bash, "javascript": read_javascript}
