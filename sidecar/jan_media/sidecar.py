"""Everything that one worker process uses, built from the settings."""

from jan_media.api.slots import Slots
from jan_media.catalog.interface import Quota
from jan_media.catalog.open import open_catalog
from jan_media.fetch.policy import FetchPolicy
from jan_media.fetch.remote import RemoteFetcher
from jan_media.identity.gateway_secret import GatewaySecret
from jan_media.identity.login_limit import LoginLimit
from jan_media.identity.signing_keys import SigningKeys, kept_key
from jan_media.library.library import Library, Rules
from jan_media.server.ahead import Ahead
from jan_media.server.lanes import Lane
from jan_media.server.lookups import Lookups
from jan_media.server.metrics import Metrics
from jan_media.settings import Settings
from jan_media.storage.open import open_storage

DAY_MS = 24 * 60 * 60 * 1000


class Lanes:
    """The threads of one worker, by the kind of their work."""

    def __init__(self) -> None:
        self.resolves = Lane("resolve", 8)  # look-ups and signatures: what chat requests wait for
        self.uploads = Lane("upload", 16)  # receiving bodies: decoding and hashing what arrives
        self.checks = Lane("check", 16)  # checking files, and storing them
        self.downloads = Lane("download", 16)
        self.ahead = Lane("ahead", 1)  # renditions that nobody waits for
        # Apart from the working lanes, so that health checks neither wait for requests nor delay
        # them; and one for each part, so that one that hangs is not mistaken for the other.
        self.catalog_health = Lane("catalog-health", 2)
        self.storage_health = Lane("storage-health", 2)

    def close(self) -> None:
        """Start no more work."""
        for lane in vars(self).values():
            lane.close()


class Sidecar:
    """What the two listeners of a worker share. Its parts connect and start threads at their
    first use."""

    def __init__(self, settings: Settings) -> None:
        """Raises like `open_library`, and `ValueError` for an invalid signing key."""
        self.settings = settings
        self.library = library = open_library(settings)
        library.spool_dir.mkdir(parents=True, exist_ok=True)
        self.signing_keys = SigningKeys(
            settings.signing_key or kept_key(settings.data_dir / "keys"),
            settings.signing_key_previous,
        )
        self.gateway_secret = GatewaySecret(
            settings.gateway_secret, settings.gateway_secret_previous
        )
        self.fetcher = RemoteFetcher(
            FetchPolicy(settings.fetch_allow, settings.fetch_deny),
            timeout=settings.remote_fetch_timeout,
            max_bytes=settings.max_bytes,
        )
        # None unless the storage is local: then the sidecar serves and receives the files.
        self.local_urls = library.storage.urls
        self.lanes = Lanes()
        self.lookups = Lookups(self.lanes.resolves, library.look_up)
        self.uploads = Slots(settings.max_uploads)
        self.fetches = Slots(settings.max_fetches)
        # For each client address and worker.
        self.login_limit = LoginLimit(settings.guest_login_per_minute)
        self.metrics = Metrics()
        self.metrics.time_storage(library.storage)
        self.metrics.time_catalog(library.catalog)
        # None unless renditions are made at the upload.
        self.ahead = Ahead(library, self.lanes.ahead) if settings.renditions_ahead else None

    def close(self) -> None:
        """Release threads and connections."""
        self.lanes.close()
        self.library.close()


def open_library(settings: Settings) -> Library:
    """The catalog, the storage and the rules. The database is not contacted yet.

    Raises `StorageUnavailable` if a local folder cannot be used or S3 credentials are not found,
    and `ValueError` for invalid URLs.
    """
    return Library(
        catalog=open_catalog(settings.database_url),
        storage=open_storage(settings),
        rules=Rules(
            allowed_types=settings.allowed_types,
            max_bytes=settings.max_bytes,
            max_pixels=settings.max_pixels,
            retention_ms=int(settings.retention_days * DAY_MS),
            hold_ms=int(settings.sweep_grace * 1000),
            download_ttl=settings.presign_ttl,
            upload_ttl=settings.upload_ttl,
            quota=Quota(settings.quota_bytes, settings.quota_files),
            guest_quota=Quota(settings.guest_quota_bytes, settings.guest_quota_files),
            guest_issuer=settings.issuer,
        ),
        spool_dir=settings.data_dir / "spool",
    )
