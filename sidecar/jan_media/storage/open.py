"""Opens the storage that the settings name, and loads only its packages."""

from jan_media.identity.kept_secret import kept_secret
from jan_media.settings import Settings
from jan_media.storage.interface import Storage


def open_storage(settings: Settings) -> Storage:
    """The storage of ``MEDIA_STORAGE_BACKEND``.

    Raises `StorageUnavailable` if a local folder cannot be used or S3 credentials are not found,
    and `ValueError` for an invalid S3 endpoint.
    """
    if settings.storage_backend == "s3":
        from jan_media.storage.s3 import S3Storage

        return S3Storage(settings.s3)
    from jan_media.storage.local import LocalStorage

    secret = settings.url_secret.encode() or kept_secret(settings.data_dir / "keys" / "url-secret")
    return LocalStorage(
        settings.data_dir / "objects", public_url=settings.public_url, secret=secret
    )
