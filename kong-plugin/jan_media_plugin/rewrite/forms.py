"""How each API names a medium, and how the medium's URL or bytes are written there.

    Chat Completions   image_url {url}, input_audio {data}, file {file_id} or {file_data, filename}
                       https://platform.openai.com/docs/api-reference/chat/create
    Responses          input_image and computer_screenshot {image_url or file_id},
                       input_file {file_url or file_id}
                       https://platform.openai.com/docs/api-reference/responses/create
    Images edits       images [{image_url or file_id}], mask {image_url or file_id}, in JSON
                       https://platform.openai.com/docs/api-reference/images/createEdit
    Messages           source {type: url, url}, {type: file, file_id}
                       or {type: base64, media_type, data}
                       https://docs.anthropic.com/en/api/messages
    generateContent    fileData {fileUri, mimeType}, inlineData {mimeType, data}; each name may be
                       in snake_case, and Google's SDK for Python writes fileData {file_uri}
                       https://ai.google.dev/api/caching#Part

A name may also be where bytes belong: SDKs accept any text that is not a URL as base64.

An edit replaces as few bytes as the form allows; all others stay unchanged.
"""

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from jan_media_plugin.exchange import Edit
from jan_media_plugin.rewrite.candidates import TooComplex
from jan_media_plugin.rewrite.members import Member, Objects, ObjectSpan
from jan_media_plugin.rewrite.parsed import Standing

_GEMINI = {"fileUri": "file_uri", "inlineData": "inline_data"}
_SNAKE = {**_GEMINI, "fileData": "file_data", "mimeType": "mime_type"}
_AUDIO = ("input_audio", "data")
_FILE_OF_A_CHAT = (("file", "file_id"), ("file", "file_data"))


@dataclass(frozen=True, slots=True)
class Medium:
    """What replaces a name: a URL, and the bytes as base64 if they are needed."""

    id: str
    url: str
    mime: str
    base64: bytes | None = None

    def inside_url(self) -> bytes:
        """Return the URL, or a data URL, escaped for the inside of a JSON string."""
        if self.base64 is None:
            return _inside(self.url)
        return b"".join((b"data:", _inside(self.mime), b";base64,", self.base64))


def needs_bytes(standing: Standing, mime: str) -> bool:
    """Whether the API accepts no URL for such a medium here."""
    keys = standing.way.keys[-2:]
    return keys == _AUDIO or (keys in _FILE_OF_A_CHAT and not mime.startswith("image/"))


def takes_url(body: bytes, standing: Standing) -> bool:
    """Whether the API also accepts a URL in place of inline bytes here."""
    key, holder = standing.way.keys[-1], standing.way.keys[-2:-1]
    if body.startswith(b"data:", standing.candidate.start) and key != "file_data":
        return key != "data"
    if key == "data":
        return holder in (("source",), ("inlineData",), ("inline_data",))
    return key == "file_data" and holder != ("file",)


def edits_for(objects: Objects, standing: Standing, medium: Medium) -> list[Edit]:
    """Return the edits that replace the name at ``standing`` by ``medium``.

    ``objects`` are the body's, one instance for all its names. Raises `TooComplex`.
    """
    start, end = standing.candidate.start, standing.candidate.end
    key, holder = standing.way.keys[-1], standing.way.keys[-2:-1]
    if (*holder, key) == _AUDIO and medium.base64 is not None:
        return [Edit(start, end, medium.base64)]
    if key not in ("file_id", "data", "file_data", "fileUri", "file_uri") and (
        holder != ("source",) or medium.base64 is None
    ):
        return [Edit(start, end, medium.inside_url())]
    around = objects.around(start - 1)
    member = around.members[around.index(start - 1)]
    found_by = holder[0] if key == "data" and holder else key
    if found_by in (*_GEMINI, *_GEMINI.values()):
        return _gemini(objects, around, member, found_by, medium)
    if key == "data" or holder == ("source",):
        return _anthropic(around, member, medium)
    if holder == ("file",):
        return _chat_file(objects, around, member, medium)
    is_file = holder == ("input_file",) or _is_input_file(objects.body, around)
    return _responses_file(around, member, medium, is_file=is_file)


def _anthropic(around: ObjectSpan, member: Member, medium: Medium) -> list[Edit]:
    edits = []
    type_, media_type = around.named("type"), around.named("media_type")
    if type_ is not None:
        kind = "url" if medium.base64 is None else "base64"
        edits.append(Edit(type_.value_start, type_.value_end, _quoted(kind)))
    if medium.base64 is None:
        if media_type is not None:
            edits.append(_without(around, media_type))
        return [*edits, *_renamed(member, "url", _quoted(medium.url))]
    edits.append(_stating_type(media_type, member, "media_type", medium))
    return [*edits, *_renamed(member, "data", b'"%b"' % medium.base64)]


def _is_input_file(body: bytes, around: ObjectSpan) -> bool:
    type_ = around.named("type")
    return type_ is not None and body[type_.value_start : type_.value_end] == b'"input_file"'


def _responses_file(
    around: ObjectSpan, member: Member, medium: Medium, *, is_file: bool
) -> list[Edit]:
    inside = b'"%b"' % medium.inside_url()
    if not is_file:  # input_image, computer_screenshot, and the objects of Images edits
        return _renamed(member, "image_url", inside)
    if medium.base64 is None:
        return _renamed(member, "file_url", inside)
    return [*_with_file_name(around, member, medium), *_renamed(member, "file_data", inside)]


def _chat_file(objects: Objects, around: ObjectSpan, member: Member, medium: Medium) -> list[Edit]:
    inside = b'"%b"' % medium.inside_url()
    if not medium.mime.startswith("image/"):
        return [*_with_file_name(around, member, medium), *_renamed(member, "file_data", inside)]
    part = objects.around(around.start)
    file, type_ = part.members[part.index(around.start)], part.named("type")
    edits = [] if type_ is None else [Edit(type_.value_start, type_.value_end, b'"image_url"')]
    return [*edits, *_renamed(file, "image_url", b'{"url":%b}' % inside)]


def _with_file_name(around: ObjectSpan, member: Member, medium: Medium) -> list[Edit]:
    """OpenAI refuses file_data without a name."""
    if around.named("filename") is not None:
        return []
    extension = medium.mime.partition("/")[2]
    stated = b'"filename":%b,' % _quoted(f"{medium.id}.{extension}")
    return [Edit(member.key_start, member.key_start, stated)]


def _gemini(
    objects: Objects, around: ObjectSpan, member: Member, key: str, medium: Medium
) -> list[Edit]:
    """The URL and the bytes of a part are in different objects, under different keys.

    ``key`` is the URL's, or that of the object of the bytes: new names follow its spelling.
    """
    wants_url = medium.base64 is None
    value = _quoted(medium.url) if medium.base64 is None else b'"%b"' % medium.base64
    stated = around.named("mimeType", "mime_type")
    edits = [_stating_type(stated, member, _spelled("mimeType", "_" in key), medium)]
    if wants_url == (member.key != "data"):
        return [*edits, Edit(member.value_start, member.value_end, value)]
    part = objects.around(around.start)
    holder = part.members[part.index(around.start)]
    named = _spelled("fileData" if wants_url else "inlineData", "_" in holder.key)
    renamed = _renamed(member, _spelled("fileUri", "_" in key) if wants_url else "data", value)
    return [Edit(holder.key_start, holder.key_end, _quoted(named)), *edits, *renamed]


def _spelled(name: str, in_snake_case: bool) -> str:
    return _SNAKE[name] if in_snake_case else name


def _stating_type(stated: Member | None, member: Member, name: str, medium: Medium) -> Edit:
    """The edit that writes the type: where it is ``stated``, or as ``name`` before ``member``."""
    if stated is not None:
        return Edit(stated.value_start, stated.value_end, _quoted(medium.mime))
    text = b"%b:%b," % (_quoted(name), _quoted(medium.mime))
    return Edit(member.key_start, member.key_start, text)


def _renamed(member: Member, key: str, value: bytes) -> list[Edit]:
    return [
        Edit(member.key_start, member.key_end, _quoted(key)),
        Edit(member.value_start, member.value_end, value),
    ]


def _without(around: ObjectSpan, member: Member) -> Edit:
    """The edit that removes a member, with the comma after it or the one before it."""
    at = around.index(member.value_start)
    if at + 1 < len(around.members):
        return Edit(member.key_start, around.members[at + 1].key_start, b"")
    before = around.members[at - 1].value_end if at else around.start + 1
    return Edit(before, member.value_end, b"")


def in_order(edits: Iterable[Edit]) -> list[Edit]:
    """Return edits in rising order, each once. Raises `TooComplex` if two touch the same bytes."""
    ordered = sorted(set(edits), key=lambda edit: (edit.start, edit.end))
    for one, next_one in itertools.pairwise(ordered):
        if next_one.start < one.end or (one.start, one.end) == (next_one.start, next_one.end):
            raise TooComplex("one that names a place twice")
    return ordered


def _inside(text: str) -> bytes:
    return json.dumps(text)[1:-1].encode()


def _quoted(text: str) -> bytes:
    return json.dumps(text).encode()
