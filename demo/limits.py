"""What the providers of hosted models refuse, so that the demo model can refuse it too.

Each record names the source of its figures and their date. They are the providers' published limits
for requests with images; unpublished limits are not here.
"""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one provider. None or an empty tuple: no such limit."""

    types: tuple[str, ...] = ()  # Pillow's names of formats
    max_bytes: int | None = None  # of one image
    max_edge: int | None = None  # pixels
    many: int | None = None  # with more images than this in a request …
    many_max_edge: int | None = None  # … this is the largest edge, in pixels
    max_images: int | None = None
    max_body_bytes: int | None = None
    still: bool = False  # whether animated images are refused

    def refuses(
        self, kind: str, size: int, width: int, height: int, frames: int, images: int
    ) -> str | None:
        """Return why one of ``images`` in a request is refused, or None."""
        if self.types and (kind not in self.types or (self.still and frames > 1)):
            return self.refuses_unknown()
        if self.max_bytes is not None and size > self.max_bytes:
            return f"image exceeds {self.max_bytes // MIB} MB maximum: {size} bytes"
        if self.max_images is not None and images > self.max_images:
            return f"too many images: {images} of at most {self.max_images}"
        edge = self.max_edge
        if self.many is not None and images > self.many:
            edge = self.many_max_edge
        if edge is not None and max(width, height) > edge:
            many = "for many-image requests" if edge == self.many_max_edge else "for an image"
            return f"image dimensions exceed the maximum {many}: {edge} pixels"
        return None

    def refuses_unknown(self) -> str | None:
        """Return why something is refused that is not an image of an accepted type, or None."""
        if not self.types:
            return None
        return f"unsupported image: send a file of the types {', '.join(self.types)}"


PROVIDERS = {
    "none": Limits(),
    # https://platform.claude.com/docs/en/build-with-claude/vision and …/api/overview, 2026-11; 600
    # images for models with a context of more than 200k tokens
    "anthropic": Limits(
        types=("JPEG", "PNG", "GIF", "WEBP"),
        max_bytes=5 * MIB,
        max_edge=8000,
        many=20,
        many_max_edge=2000,
        max_images=100,
        max_body_bytes=32 * MIB,
    ),
    # https://developers.openai.com/api/docs/guides/images-vision, 2026-11
    "openai": Limits(
        types=("PNG", "JPEG", "MPO", "WEBP", "GIF"),
        max_bytes=20 * MIB,
        max_images=500,
        max_body_bytes=50 * MIB,
        still=True,
    ),
    # https://ai.google.dev/gemini-api/docs/image-understanding, and of one image
    # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/image/image-captioning, 2026-11
    "gemini": Limits(
        types=("PNG", "JPEG", "MPO", "WEBP", "HEIF"),
        max_bytes=7 * MIB,
        max_images=3000,
        max_body_bytes=20 * MIB,
    ),
    # https://www.alibabacloud.com/help/en/model-studio/vision, 2026-11
    "qwen": Limits(
        types=("BMP", "JPEG", "PNG", "TIFF", "WEBP", "HEIF"),
        max_bytes=10 * MIB,
        max_body_bytes=20 * MIB,
    ),
}
