"""The bodies of answers, in the exact fields of the specification."""

from datetime import UTC, datetime
from typing import Any

from jan_media.catalog.interface import Claimed, Media
from jan_media.library.direct_upload import Prepared
from jan_media.library.owners import Share
from jan_media.library.resolve import Link


def iso_time(milliseconds: int) -> str:
    """A time as ``2025-12-23T10:35:00Z``."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def uploaded(claimed: Claimed, link: Link) -> dict[str, Any]:
    media = claimed.media
    return {
        "id": media.id,
        "mime": media.mime,
        "bytes": media.bytes,
        "deduped": claimed.deduped,
        "presigned_url": link.url,
        "expires_at": iso_time(link.expires_at),
    }


def info(media: Media, link: Link) -> dict[str, Any]:
    return {
        "id": media.id,
        "mime": media.mime,
        "bytes": media.bytes,
        "created_at": iso_time(media.created_at),
        "presigned_url": link.url,
        "url": link.url,
        "expires_at": iso_time(link.expires_at),
    }


def usage(share: Share) -> dict[str, Any]:
    return {
        "bytes": share.used.bytes,
        "files": share.used.files,
        "quota_bytes": share.quota.bytes,
        "quota_files": share.quota.files,
    }


def resolved_item(media: Media, link: Link) -> dict[str, Any]:
    return {
        "id": media.id,
        "presigned_url": link.url,
        "expires_at": iso_time(link.expires_at),
    }


def prepared(upload: Prepared) -> dict[str, Any]:
    return {
        "jan_id": upload.media.id,
        "id": upload.media.id,
        "presigned_url": upload.put.url,
        "upload_url": upload.put.url,
        "presigned_post": {"url": upload.post.url, "fields": upload.post.fields},
        "mime_type": upload.media.mime,
        "expires_in": upload.expires_in,
    }
