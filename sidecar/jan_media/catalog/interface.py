"""What the library asks of a catalog: who owns which id, and which bytes it stands for.

All methods are synchronous, may be called from any thread, and are each one transaction: done
whole or not at all, and durable when they return. Times are Unix milliseconds and always come
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
    Whoever writes bytes first puts the key into garbage (`intend`, `claim_or_intend`), then
    writes, then commits, which moves the key from garbage to contents. A crash at any point leaves
    either committed bytes or a garbage row, so a sweep never has to list the storage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class CatalogUnavailable(Exception):
    """The database is away or did not answer in time. Trying again later may work."""


class IntentLapsed(Exception):
    """The storage key of a commit is no longer held: a sweep has taken it. Upload again."""


class State(StrEnum):
    """Where an id is in its life."""

    PENDING = "pending"  # promised to a direct upload that nobody has used yet
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
    expires_at: int  # ms: the end of its retention when ready, of the time to upload otherwise
    # (a pending id past it may have been uploaded in time, if nobody has looked yet)
    rejection_code: str = ""  # when rejected: the error code and message to answer with
    rejection_message: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that have been hashed and whose type is known."""

    sha256: str  # lower-case hex
    mime: str
    bytes: int


@dataclass(frozen=True, slots=True)
class FileDetails:
    """What an owner says about a file when uploading it."""

    name: str = ""  # "" if none was given: the one that was given before stays
    purpose: str = ""  # likewise
    lifetime: int | None = None  # ms: the claim ends after that; None: when the media does


NO_DETAILS = FileDetails()


@dataclass(frozen=True, slots=True)
class Claim:
    """One owner's hold on an id."""

    owner: str
    created_at: int  # ms: when this owner first uploaded it
    expires_at: int | None = None  # ms: when it ends, if it may do so before the media
    name: str = ""  # of the file, as the owner gave it
    purpose: str = ""


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
        """What it is for: what its owner said, or what its type tells."""
        by_type = "vision" if self.media.mime.startswith("image/") else "user_data"
        return self.claim.purpose or by_type

    @property
    def position(self) -> Position:
        """Its place in its owner's list."""
        return self.claim.created_at, self.media.id


@dataclass(frozen=True, slots=True)
class Claimed:
    """The outcome of an upload: the id to answer with, and whether it was there before."""

    media: Media
    deduped: bool


class Released(StrEnum):
    """The outcome of giving up a claim."""

    GONE = "gone"  # it was the last claim: the id is gone, and its bytes if nothing else has them
    SHARED = "shared"  # others still own it
    NOT_OWNER = "not_owner"
    NOT_FOUND = "not_found"


@dataclass(frozen=True, slots=True)
class Expired:
    """What one batch of `Catalog.expire` removed."""

    media: int  # ready ids past their retention
    uploads: int  # pending and rejected ids past their time
    contents: int  # stored objects that nothing refers to any more, now garbage
    claims: int = 0  # claims that were to end before their media

    def __bool__(self) -> bool:
        """Whether anything was removed."""
        return any((self.media, self.uploads, self.contents, self.claims))


@dataclass(frozen=True, slots=True)
class Rendition:
    """What came of making a content fit some limits: other bytes, the same ones, or a refusal."""

    storage_key: str  # "" if the content fits as it is, or if it cannot be made to
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


NO_QUOTA = Quota()


class QuotaExceeded(Exception):
    """One more would be more than the owner may keep; nothing has been changed."""

    def __init__(self, used: Usage, quota: Quota) -> None:
        super().__init__(f"{used} of {quota}")
        self.used = used
        self.quota = quota


class Catalog(Protocol):
    """Ids, their owners and their contents. See the module for the promises of every method."""

    def migrate(self) -> None:
        """Bring the schema to this version; safe when several processes start at once.

        Raises `SchemaTooNew` (a `RuntimeError`) on a database of a later version.
        """

    def check(self) -> None:
        """Do one cheap real read; raise `CatalogUnavailable` if that fails."""

    def close(self) -> None:
        """Give back every connection. The catalog cannot be used afterwards."""

    # --- bytes on their way in

    def intend(self, storage_key: str, *, due_at: int) -> None:
        """Hold a fresh key for bytes about to be written; garbage from ``due_at`` on.

        ``due_at`` has to outlast the write. A writer that a sweep overtakes is told so by its
        commit, and its bytes are swept; but one that is overtaken, writes and then dies leaves
        bytes that no row knows of.

        Repeating it changes nothing.
        """

    def claim_known(
        self,
        content: Content,
        owner: str,
        *,
        now: int,
        expires_at: int,
        quota: Quota = NO_QUOTA,
        details: FileDetails = NO_DETAILS,
    ) -> Claimed | None:
        """Claim a content that is already stored and has a live id; None if there is none.

        Of several it is the one that became ready first, so that a direct upload of the same
        bytes, completed later under an older id, does not change the answer. Its retention
        becomes the later of its own and ``expires_at``, and ``owner`` owns it too. ``deduped``
        is True. Raises `QuotaExceeded` unless the owner has it already.

        The claim ends at ``expires_at`` if ``details`` give a lifetime, however long others keep
        the media. Of an owner who has it already the claim keeps its date, has the later of the two
        ends, and takes over the name and the purpose if ``details`` give any.
        """

    def claim_or_intend(
        self,
        content: Content,
        owner: str,
        storage_key: str,
        *,
        now: int,
        expires_at: int,
        due_at: int,
        quota: Quota = NO_QUOTA,
        details: FileDetails = NO_DETAILS,
    ) -> Claimed | None:
        """What an upload begins with: `claim_known`; if that is None, `intend` ``storage_key``.

        Raises `QuotaExceeded` also if `commit_upload` would at this moment.
        """

    def commit_upload(
        self,
        new_id: str,
        content: Content,
        storage_key: str,
        owner: str,
        *,
        now: int,
        expires_at: int,
        quota: Quota = NO_QUOTA,
        details: FileDetails = NO_DETAILS,
    ) -> Claimed:
        """Give bytes just written under an intended ``storage_key`` their id.

        If a live id of that content exists by now (another upload was faster), it is claimed as
        by `claim_known` and ``storage_key`` becomes due garbage. If the content is stored but no
        live id has it, ``new_id`` shares the stored bytes and ``storage_key`` becomes due
        garbage. Otherwise ``storage_key`` becomes the content's. Under any number of concurrent
        calls for one content exactly one answers ``deduped=False``.

        Raises `IntentLapsed` if a sweep has taken ``storage_key`` and it would be needed; the key
        is due garbage then, so bytes written after the sweep's deletion go as well. Raises
        `QuotaExceeded`; ``storage_key`` is held as before then.

        Repeating a commit whose answer was lost is harmless and answers the same.
        """

    # --- direct upload

    def create_pending(
        self,
        new_id: str,
        mime: str,
        upload_key: str,
        owner: str,
        *,
        now: int,
        upload_until: int,
        quota: Quota = NO_QUOTA,
    ) -> Media:
        """Promise ``new_id`` to a direct upload, which will have ended by ``upload_until``.

        ``upload_key`` is garbage from ``upload_until`` on whatever happens, since its upload
        policy could write it again. That has to outlast the policy by as much as an upload takes:
        one that ends after the key is forgotten is never deleted. Raises `QuotaExceeded`.
        """

    def complete_pending(
        self,
        id: str,
        content: Content,
        storage_key: str,
        *,
        now: int,
        expires_at: int,
        quota_of: Callable[[str], Quota] = lambda owner: NO_QUOTA,
    ) -> Media | None:
        """Turn a pending id into a ready one whose bytes are under an intended ``storage_key``.

        Shares the stored bytes of a content that is known (``storage_key`` is then due garbage).
        A pending id past its time can still be completed, as long as `expire` has not removed it.
        If the id is no longer pending, changes nothing of it, makes ``storage_key`` due garbage
        and returns the id as it is, or None if it is gone. Raises `IntentLapsed` as above, and
        `QuotaExceeded` if an owner of the id would have more than ``quota_of`` it.
        """

    def reject_pending(self, id: str, code: str, message: str, *, now: int) -> Media | None:
        """Mark a pending id as refused until its upload time ends. Returns the id as it is now."""

    def overdue_uploads(self, *, now: int, limit: int, after: str = "") -> list[Media]:
        """Pending ids past their time, by id, those above ``after`` only."""

    # --- reading

    def get_many(self, ids: Sequence[str], *, now: int) -> dict[str, Media]:
        """Return those of ``ids`` (canonical form) that exist and have not expired, by id.

        Pending ones are returned past their time too, until `expire` removes them: whether they
        were uploaded in time, the catalog does not know.
        """

    def claim_of(self, id: str, owner: str, *, now: int) -> Claim | None:
        """The claim of ``owner`` on ``id``; None if there is none, or if it has ended."""

    def list_owned(
        self,
        owner: str,
        *,
        now: int,
        limit: int,
        after: Position | None = None,
        oldest_first: bool = False,
        purpose: str = "",
        ids: Sequence[str] | None = None,
    ) -> list[Owned]:
        """Ready media of ``owner`` by the date of the own upload, newest first.

        With ``after`` only what follows that position in this order, with ``purpose`` only what has
        it (`Owned.purpose`), and of ``ids``, up to a hundred, only these.
        """

    def usage(self, owner: str) -> Usage:
        """What ``owner`` keeps."""

    # --- renditions

    def renditions(self, hashes: Sequence[str], fit: str) -> dict[str, Rendition]:
        """What is known of the contents of these SHA-256 made to fit, by SHA-256.

        ``fit`` names the limits.
        """

    def keep_rendition(
        self, sha256: str, fit: str, rendition: Rendition, *, now: int
    ) -> Rendition | None:
        """Keep what came of making a content fit; its key, if it has one, was intended.

        The first one stays, and is returned; the key of a later one becomes due garbage. None,
        and the key due garbage, if the content is gone. A rendition goes with its content: its
        key becomes due garbage then. Raises `IntentLapsed` as `commit_upload` does.
        """

    # --- the end of life

    def release(self, id: str, owner: str, *, now: int) -> Released:
        """Give up ``owner``'s claim. With the last claim the id goes, and its content becomes due
        garbage once no id refers to it."""

    def expire(self, *, now: int, limit: int) -> Expired:
        """Remove up to ``limit`` ids whose time is over, or claims whose end comes before that.

        An id goes with its last claim; unreferenced contents become due garbage. It may remove
        fewer than ``limit`` at a time. All zeros mean that nothing was left to do.
        """

    def count_expired(self, *, now: int) -> Expired:
        """What `expire` without a limit would remove, changing nothing (for a dry run)."""

    def take_garbage(self, *, now: int, limit: int) -> list[str]:
        """Take up to ``limit`` due keys for deletion. A taken key can no longer be committed.

        A key that was taken and not forgotten (the sweep died) is given out again by a later
        call, after those that have been due for longer.
        """

    def forget_garbage(self, storage_keys: Sequence[str]) -> None:
        """Drop taken keys whose bytes have been deleted.

        A key that a late commit has made garbage again since it was taken stays: see
        `commit_upload`.
        """

    def count_garbage(self, *, now: int) -> int:
        """How many keys are due."""

    def lease(self, name: str, holder: str, *, now: int, until: int) -> bool:
        """Take or renew a named lease; False while another holder's has not run out."""

    def counts(self) -> dict[str, int]:
        """Sizes for metrics: ``media`` (ready ids), ``pending``, ``contents``, ``content_bytes``,
        ``garbage`` (keys, due or not). What is over and not yet swept is included."""


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


class ApiKeys(Protocol):
    """Where API keys are kept: a second, separate ability of the same databases."""

    def add_api_key(self, key: ApiKey) -> None:
        """Store a new key. Raises `ValueError` if its id or hash is there already."""

    def find_api_key(self, key_hash: str) -> ApiKey | None:
        """The key of that hash, revoked and expired ones included."""

    def list_api_keys(self, *, prefix: str = "", owner: str | None = None) -> list[ApiKey]:
        """Keys by creation time, filtered by the start of their prefix and by owner."""

    def revoke_api_key(self, id: str, *, now: int) -> bool:
        """Revoke a key by its handle; False if there is none or it was revoked before."""


class SchemaTooNew(RuntimeError):
    """The database was written by a later version of the sidecar. Upgrade the sidecar."""
