"""Which storage the settings name. Only that one's packages are loaded."""

from jan_media.identity.kept_secret import kept_secret
from jan_media.settings import Settings
from jan_media.storage.interface import Storage


def open_storage(settings: Settings) -> Storage:
    """The storage of ``MEDIA_STORAGE_BACKEND``.

    Raises `StorageUnavailable` if a local folder cannot be used or S3 credentials are not found,
    and `ValueError` for an S3 endpoint that cannot be.
    """
    return {"local": _local, "s3": _s3}[settings.storage_backend](settings)


def _local(settings: Settings) -> Storage:
    from jan_media.storage.local import LocalStorage

    secret = settings.url_secret.encode() or kept_secret(settings.data_dir / "keys" / "url-secret")
    return LocalStorage(
        settings.data_dir / "objects", public_url=settings.public_url, secret=secret
    )


def _s3(settings: Settings) -> Storage:
    from jan_media.storage.s3 import S3Storage

    s3 = settings.s3
    return S3Storage(
        s3.bucket,
        region=s3.region,
        endpoint=s3.endpoint or None,
        public_endpoint=s3.public_endpoint or None,
        access_key=s3.access_key or None,
        secret_key=s3.secret_key or None,
        path_style=s3.use_path_style,
    )
