"""Which media types an operator allows: a comma list such as ``image/*,application/pdf``."""

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
# Types that must be named in full: a browser may run scripts in them.
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
        """Whether ``mime`` (lower case) is allowed.

        ``checkable`` says whether more than the first bytes of such a file can be checked. An image
        type that is not checkable must be named in full.
        """
        if mime in self._entries:
            return True
        kind = mime.split("/")[0]
        if mime in _NEVER_BY_WILDCARD or (kind == "image" and not checkable):
            return False
        return f"{kind}/*" in self._entries

    def __or__(self, other: "AllowedTypes") -> "AllowedTypes":
        """The types that either list allows."""
        return AllowedTypes(f"{self},{other}")

    def __str__(self) -> str:
        return ",".join(self._entries)
