"""The readers of what strangers send, and for each what must hold for any bytes.

Every module here states it once, as functions that fail. Three things call them: the property
tests with inputs that they build, `make fuzz` with inputs that lead to new code, and
``tests/fuzz/test_corpus.py`` with those that once did. ``check`` takes an input as bytes.
"""

READERS: dict[str, tuple[str, ...]] = {
    "address": ("jan_media.fetch",),
    "connection": ("jan_media_plugin.server", "kong_pdk"),
    "content_encoding": ("jan_media.fetch",),
    "data_url": ("jan_media.content",),
    "form": ("jan_media.api.form_body", "python_multipart"),
    "image": ("jan_media.content", "PIL", "puremagic"),
    "rewriting": ("jan_media_plugin.rewrite", "jan_media.media_id"),
    "signed_form": ("jan_media.storage",),
    "token": ("jan_media_plugin.auth", "jan_media_plugin.headers", "jwt"),
    "upload_body": ("jan_media.api.json_body",),
    "url": ("jan_media.fetch",),
}
"""The module of each here, and the packages whose coverage leads the way."""
