"""What the library needs from a catalog: who owns which id, and which bytes it stands for.

All methods are synchronous and may be called from any thread. Each is one transaction: done
completely or not at all, and durable when it returns. Times are Unix milliseconds and always come
from the caller, so that a test can move the clock. Every method raises `CatalogUnavailable`
when the database cannot be reached or does not answer in time; nothing has changed then, or
the whole change has been made.

What callers keep to: strings are valid Unicode without NUL, and an owner has at most 1024 bytes
of UTF-8 (an index holds it).

How much an owner keeps
    Every claim that is made or given up changes its owner's row in `usage` in the same transaction,
    so that a quota is checked at constant cost and holds under any number of concurrent calls. What
    has expired counts until `expire` removes it.

How bytes and rows stay in step
    Bytes live under storage keys that are never reused. A key is in at most one of two places:
    in `contents` (something refers to it) or in `garbage` (it may be deleted from `due_at` on).
    Whoever writes bytes first puts the key into garbage (`intend`), then writes, then commits,
    which moves the key from garbage to contents. A crash at any point leaves either committed
    bytes or a garbage row, so a sweep never has to list the storage.
"""

from dataclasses import dataclass
from enum import StrEnum

from jan_media.errors import Refused, megabytes


class CatalogUnavailable(Exception):
    """The database is unavailable or did not answer in time. A later attempt may work."""


class IntentLapsed(Exception):
    """The storage key of a commit is no longer held: a sweep has taken it. Upload again."""


class State(StrEnum):
    """Where an id is in its life."""

    PENDING = "pending"  # promised to a direct upload, and not used yet
    READY = "ready"  # has bytes, for good
    REJECTED = "rejected"  # a direct upload whose bytes were refused; tells why until it expires


@dataclass(frozen=True, slots=True)
class Media:
    """One id and what it stands for."""

    id: str
    state: State
    mime: str  # the promised type while pending, the type by content when ready
    bytes: int  # 0 unless ready
    sha256: str  # lower-case hex, "" unless ready
    storage_key: str  # the content's key when ready, the upload's key otherwise
    created_at: int  # ms
    expires_at: int  # ms: the end of its retention when ready, else of the time to upload
    # (after that, a pending id may still have been uploaded in time, but not checked yet)
    rejection_code: str = ""  # when rejected: the error code and message to answer with
    rejection_message: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that have been hashed and whose type is known."""

    sha256: str  # lower-case hex
    mime: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One owner's claim on an id."""

    owner: str
    created_at: int  # ms: when this owner first uploaded it
    expires_at: int | None = None  # ms: when it ends, if it may end before the media
    name: str = ""  # of the file, as the owner gave it
    purpose: str = ""

    def has_ended(self, now: int) -> bool:
        """Whether it has ended, and waits for `Catalog.expire`."""
        return self.expires_at is not None and self.expires_at <= now

    def joined(self, other: "Claim") -> "Claim":
        """This claim and another of the same owner as one: the earlier date, the later end, and
        this one's name and purpose if it gives any.

        The date is this one's if the other has ended before it.
        """
        ends = [end for end in (self.expires_at, other.expires_at) if end is not None]
        anew = other.has_ended(self.created_at)
        return Claim(
            owner=self.owner,
            created_at=self.created_at if anew else min(self.created_at, other.created_at),
            expires_at=max(ends) if len(ends) == 2 else None,
            name=self.name or other.name,
            purpose=self.purpose or other.purpose,
        )


Position = tuple[int, str]  # when its owner first uploaded it (ms), and the id


@dataclass(frozen=True, slots=True)
class Owned:
    """Media as one of its owners sees it."""

    media: Media
    claim: Claim

    @property
    def expires_at(self) -> int:
        """When it ends for this owner (ms)."""
        return min(self.media.expires_at, self.claim.expires_at or self.media.expires_at)

    @property
    def purpose(self) -> str:
        """What it is for: as its owner said, else by its type."""
        by_type = "vision" if self.media.mime.startswith("image/") else "user_data"
        return self.claim.purpose or by_type

    @property
    def position(self) -> Position:
        """Its place in its owner's list."""
        return self.claim.created_at, self.media.id


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: list[Owned]
    more: bool  # whether something follows


@dataclass(frozen=True, slots=True)
class Claimed:
    """The outcome of an upload: the id to answer with, and whether it was there before."""

    media: Media
    deduped: bool


class Released(StrEnum):
    """The outcome of giving up a claim."""

    GONE = "gone"  # it was the last claim: the id is gone, and its bytes unless another id has them
    SHARED = "shared"  # others still own it
    NOT_OWNER = "not_owner"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Expired:
    """What one batch of `Catalog.expire` removed."""

    media: int  # ready ids past their retention
    uploads: int  # pending and rejected ids past their time
    contents: int  # stored objects that nothing refers to any more, now garbage
    claims: int = 0  # claims that ended before their media

    def __bool__(self) -> bool:
        """Whether anything was removed."""
        return any((self.media, self.uploads, self.contents, self.claims))


@dataclass(frozen=True, slots=True)
class Rendition:
    """The result of converting a content to some limits: new bytes, the same, or a refusal."""

    storage_key: str  # "" if the content fits unchanged, or cannot be made to fit
    mime: str
    bytes: int
    width: int = 0
    height: int = 0
    failure_code: str = ""
    failure_message: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an owner keeps. A content counts in full for each of its owners, and an id that waits
    for its direct upload counts as a file without bytes."""

    bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Quota:
    """The most that an owner may keep. 0 means that there is no limit."""

    bytes: int = 0
    files: int = 0

    def require_room(self, used: Usage, *, bytes: int, files: int) -> None:
        """Raise `QuotaExceeded` if there is no room for this much in addition to ``used``."""
        over = self.bytes and used.bytes + bytes > self.bytes
        if over or (self.files and used.files + files > self.files):
            raise QuotaExceeded(used, self)


NO_QUOTA = Quota()


class QuotaExceeded(Refused):
    """An upload would exceed what the owner may keep; nothing has been changed.

    The message tells the owner the limit, and what to do.
    """

    def __init__(self, used: Usage, quota: Quota) -> None:
        most = f"{megabytes(quota.bytes)} are the most you may: this file does not fit"
        code, what = "quota_bytes_exceeded", f"{used.bytes} bytes, and {most}"
        if quota.files and used.files >= quota.files:
            code = "quota_files_exceeded"
            what = f"{used.files} files, and {quota.files} are the most you may"
        what_to_do = "Delete what is not needed any more: GET /v1/media lists it"
        super().__init__(code, f"You keep {what}. {what_to_do}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as stored: never the key itself."""

    id: str  # public handle, for listing and revoking
    prefix: str  # the first characters of the key, to find it by
    key_hash: str  # SHA-256 of the key, lower-case hex
    owner: str
    groups: tuple[str, ...]
    created_at: int  # ms
    expires_at: int | None  # ms, None: never
    revoked_at: int | None  # ms, None: not revoked

    def state(self, now: int) -> str:
        """What it is at ``now`` (ms): ``valid``, ``revoked`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class SchemaTooNew(RuntimeError):
    """The database was written by a later version of the sidecar. Upgrade the sidecar."""
