"""A slow, simple reference of the rewriting: parse everything, walk it, replace, join."""

import re
from collections.abc import Callable, Iterator, Sequence

STRING = re.compile(r'"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"')
SCALAR = re.compile(
    r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity"
)
ID = re.compile(r"jan_[0-7][0-9a-hjkmnp-tv-z]{25}", re.IGNORECASE | re.ASCII)
PLACEHOLDER = re.compile(
    r"data:(?:[^,]{0,200}?;|[^,]{0,200}?base64,)\s*(jan_.*)", re.IGNORECASE | re.DOTALL
)
SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class NotJson(Exception):
    """The text is not one JSON value."""


def unescape(inside: str) -> str:
    """The text that the inside of a JSON string spells, lone surrogates as they are."""

    def one(match: re.Match[str]) -> str:
        escape = match[1]
        return chr(int(escape[1:], 16)) if escape[0] == "u" else SIMPLE.get(escape, escape)

    text = re.sub(r"\\(u[0-9a-fA-F]{4}|.)", one, inside)
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return joined if "\\" in inside else inside  # joins pairs, of escapes alone


class Parser:
    """A recursive descent that notes each string value with its position and its keys."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.strings: list[tuple[int, int, tuple[str | int, ...]]] = []

    def parse(self) -> None:
        self.space()
        self.value(())
        self.space()
        if self.at != len(self.text):
            raise NotJson

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at] in " \t\n\r":
            self.at += 1

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def take(self, expected: str) -> None:
        if self.peek() != expected:
            raise NotJson
        self.at += 1

    def string(self) -> tuple[int, int]:
        match = STRING.match(self.text, self.at)
        if match is None:
            raise NotJson
        self.at = match.end()
        return match.span(1)

    def value(self, path: tuple[str | int, ...]) -> None:
        if self.peek() == '"':
            self.strings.append((*self.string(), path))
        elif self.peek() == "{":
            self.items("}", lambda _: self.member(path))
        elif self.peek() == "[":
            self.items("]", lambda index: self.value((*path, index)))
        else:
            match = SCALAR.match(self.text, self.at)
            if match is None:
                raise NotJson
            self.at = match.end()

    def member(self, path: tuple[str | int, ...]) -> None:
        start, end = self.string()
        self.space()
        self.take(":")
        self.space()
        self.value((*path, unescape(self.text[start:end])))

    def items(self, closing: str, item: Callable[[int], None]) -> None:
        self.at += 1
        self.space()
        if self.peek() == closing:
            self.at += 1
            return
        index = 0
        while True:
            item(index)
            self.space()
            if self.peek() == closing:
                self.at += 1
                return
            self.take(",")
            self.space()
            index += 1


def find(
    body: bytes, where: Sequence[str], never: Sequence[str]
) -> Iterator[tuple[int, int, str, str]]:
    """Yield start and end of each id's spelling, the id in lower case, and its place.

    Raises `NotJson`.
    """
    text = body.decode("utf-8", "surrogateescape")
    parser = Parser(text)
    parser.parse()
    for start, end, path in parser.strings:
        spelled = (
            unescape(parser.text[start:end]).strip().strip("\u200b\u200c\u200d\u2060\ufeff").strip()
        )
        placeholder = PLACEHOLDER.fullmatch(spelled)
        spelled = placeholder[1] if placeholder else spelled
        if ID.fullmatch(spelled) and stands_at_a_place(path, where, never):
            before = len(_bytes(parser.text[:start]))
            after = before + len(_bytes(parser.text[start:end]))
            yield before, after, spelled.lower(), name(path)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def stands_at_a_place(
    path: tuple[str | int, ...], where: Sequence[str], never: Sequence[str]
) -> bool:
    keys = [step for step in path if isinstance(step, str)]
    tails = [place.replace("[]", "").split(".") for place in where]
    if not any(keys[-len(tail) :] == tail for tail in tails):
        return False
    for part in (place.replace("[]", "").split(".") for place in never):
        starts = range(len(keys) - len(part))
        if any(keys[at : at + len(part)] == part for at in starts):
            return False
    return True


def name(path: tuple[str | int, ...]) -> str:
    spelled = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return spelled.removeprefix(".")


def rewrite(body: bytes, where: Sequence[str], never: Sequence[str], url: str) -> bytes:
    """Return the body with ``url`` in the place of every id, and no other byte changed.

    Raises `NotJson`.
    """
    for start, end, _, _ in reversed(list(find(body, where, never))):
        body = body[:start] + url.encode() + body[end:]
    return body
