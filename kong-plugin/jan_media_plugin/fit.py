"""What a model accepts: the presets of ``fit``, and the limits for a number of images.

Each preset names its source, and the month in which that was read. Any field of kong.yml's ``fit``
overrides the preset's.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from jan_media_plugin import schema

Preset = Literal["openai", "anthropic", "gemini", "qwen"]
MB = 1_000_000  # the pages do not define MB; the smaller meaning satisfies both


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Limits of one image. None and an empty tuple: there is no such limit.

    As ``fit`` in kong.yml, it has the differences from a preset.
    """

    preset: Preset | None = schema.string(
        "The limits of a provider, from fit.py. What else is given here overrides them.",
        one_of=list(get_args(Preset)),
    )
    types: tuple[str, ...] = schema.strings(
        "Media types that the model takes, such as image/jpeg, the preferred one first. Empty: "
        "those of the preset."
    )
    max_bytes: int | None = schema.integer("Of one image.", None, 1024, 1 << 30)
    max_edge: int | None = schema.integer("Of one image, in pixels.", None, 16, 65_535)
    max_pixels: int | None = schema.integer("Width times height.", None, 256, 1 << 30)
    strip_metadata: bool | None = schema.boolean(
        "Leave out what is no picture: the place where a photo was taken, for one.", None
    )
    many: int | None = schema.integer(
        "With more images than this in a request, many_max_edge holds.", None, 1, 1000
    )
    many_max_edge: int | None = schema.integer("In pixels: see many.", None, 16, 65_535)

    def limits(self) -> "Fit":
        """Return the preset's limits, overridden by those here."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return replace(PRESETS[given.pop("preset")], **given) if self.preset else self

    def for_images(self, count: int) -> "Fit":
        """Return the limits of each of ``count`` images in one request."""
        plain = replace(self, many=None, many_max_edge=None)
        if self.many is None or count <= self.many or self.many_max_edge is None:
            return plain
        edges = (edge for edge in (self.max_edge, self.many_max_edge) if edge is not None)
        return replace(plain, max_edge=min(edges))

    def as_question(self) -> dict[str, Any]:
        """Return the limits as a question to the sidecar has them."""
        return {
            "types": self.types,
            "max_bytes": self.max_bytes,
            "max_edge": self.max_edge,
            "max_pixels": self.max_pixels,
            "strip_metadata": self.strip_metadata or False,
        }


PRESETS: dict[Preset, Fit] = {
    # https://developers.openai.com/api/docs/guides/images-vision, 2026-11. With the details low,
    # high and auto larger ones are scaled down to 2048 pixels there, so no more need be sent. For
    # the detail "original" of newer models, give a larger max_edge.
    "openai": Fit(
        types=("image/jpeg", "image/png", "image/webp", "image/gif"),
        max_bytes=20 * MB,
        max_edge=2048,
    ),
    # https://platform.claude.com/docs/en/build-with-claude/vision, 2026-11. The 5 MB are those of
    # the base64 text, which has 4/3 of the bytes.
    "anthropic": Fit(
        types=("image/jpeg", "image/png", "image/webp", "image/gif"),
        max_bytes=5 * MB * 3 // 4,
        max_edge=8000,
        many=20,
        many_max_edge=2000,
    ),
    # https://ai.google.dev/gemini-api/docs/image-understanding (types), and for the bytes of one
    # image https://docs.cloud.google.com/vertex-ai/generative-ai/docs/image/image-captioning,
    # 2026-11: the least of its models.
    "gemini": Fit(
        types=("image/jpeg", "image/png", "image/webp", "image/heic", "image/heif"),
        max_bytes=7 * MB,
    ),
    # https://www.alibabacloud.com/help/en/model-studio/vision, 2026-11.
    "qwen": Fit(
        types=("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff"),
        max_bytes=10 * MB,
        max_pixels=16_777_216,
    ),
}
