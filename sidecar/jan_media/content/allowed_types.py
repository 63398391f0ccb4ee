"""Which media types an operator lets in: a comma list such as ``image/*,application/pdf``."""

import re

CHECKED = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/tiff": "TIFF",
    "image/avif": "AVIF",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
}
"""The types whose pictures are decoded, and Pillow's names for them."""
# Types that only their full name admits: a browser may run what is in them.
_NEVER_BY_WILDCARD = {"image/svg+xml"}
_ENTRY = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/(\*|[a-z0-9][a-z0-9!#$&^_.+-]*)")


class AllowedTypes:
    """The list, parsed. ``image/*`` covers the image types whose dimensions can be checked; any
    other image type, SVG above all, has to be named in full."""

    def __init__(self, text: str) -> None:
        """Raises `ValueError` naming every entry that is not ``type/subtype`` or ``type/*``."""
        entries = [entry.strip().lower() for entry in text.split(",") if entry.strip()]
        wrong = [entry for entry in entries if not _ENTRY.fullmatch(entry)]
        if wrong or not entries:
            raise ValueError(
                f"not a list of media types like image/png,audio/*: {', '.join(wrong) or 'empty'}"
            )
        self._entries = tuple(dict.fromkeys(entries))

    def admits(self, mime: str, *, checkable: bool = True) -> bool:
        """Whether ``mime`` (lower case) is let in.

        ``checkable`` says whether more than the first bytes of such a file can be checked; of
        images that cannot, only those named in full are let in.
        """
        if mime in self._entries:
            return True
        kind = mime.split("/")[0]
        if mime in _NEVER_BY_WILDCARD or (kind == "image" and not checkable):
            return False
        return f"{kind}/*" in self._entries

    def __or__(self, other: "AllowedTypes") -> "AllowedTypes":
        """What either lets in."""
        return AllowedTypes(f"{self},{other}")

    def __str__(self) -> str:
        return ",".join(self._entries)
