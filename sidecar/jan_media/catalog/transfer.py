"""Carrying ids from one catalog to another: a third, separate ability of the same databases.

It keeps what an id is to its owners: the id, their claims, its times, and its place among the ids
of its content. It does not carry storage keys: the bytes are written anew, under a key of the other
catalog's own, by the same intend, write and commit as an upload's. So a transfer that dies at any
moment leaves a consistent catalog, and one that is run again does what is left.

Times are Unix milliseconds. Every method raises `CatalogUnavailable`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jan_media.catalog.interface import Claim, Media, Rendition, State


@dataclass(frozen=True, slots=True)
class Record:
    """All that a catalog knows of one id."""

    media: Media
    claims: tuple[Claim, ...]  # by owner, in the order of their text
    place: int | None  # when ready: among the ids of its content, as they became ready

    @property
    def owners(self) -> tuple[str, ...]:
        """Who has a claim."""
        return tuple(claim.owner for claim in self.claims)

    def covers(self, other: "Record") -> bool:
        """Whether a catalog that holds this record has nothing to learn from ``other``."""
        settled = self.media.state is other.media.state or other.media.state is State.PENDING
        ours = {claim.owner: claim for claim in self.claims}
        return (
            settled
            and self.media.expires_at >= other.media.expires_at
            and all(
                claim.owner in ours and merged(ours[claim.owner], claim) == ours[claim.owner]
                for claim in other.claims
            )
        )


def merged(ours: Claim, theirs: Claim) -> Claim:
    """One owner's claim in two catalogs as one: the earlier date, the later end, and our name and
    purpose if we have them."""
    ends = [end for end in (ours.expires_at, theirs.expires_at) if end is not None]
    return Claim(
        owner=ours.owner,
        created_at=min(ours.created_at, theirs.created_at),
        expires_at=max(ends) if len(ends) == 2 else None,
        name=ours.name or theirs.name,
        purpose=ours.purpose or theirs.purpose,
    )


class Transfer(Protocol):
    """Reading all of a catalog, and taking in what another one held."""

    def schema_version(self) -> int:
        """The version of the database's schema; 0 if it has none yet."""

    def ids_after(self, id: str, *, now: int, limit: int) -> list[str]:
        """Up to ``limit`` ids above ``id`` that have not expired, in rising order.

        Pending ones count as long as `Catalog.get_many` returns them. The same holds for `records`.
        """

    def records(self, ids: Sequence[str], *, now: int) -> dict[str, Record]:
        """What is known of those of ``ids`` (canonical form) that exist, by id."""

    def take_in_ready(self, record: Record, *, storage_key: str | None, now: int) -> bool:
        """Hold a ready id: with its owners beside any that it has here, and with the later end.

        A claim that is here too is `merged`.

        If its content is stored here already, the bytes are shared, and ``storage_key`` becomes
        due garbage. If it is not, ``storage_key`` becomes the content's: an intended key with the
        bytes under it; without one nothing is changed and the answer is False. Raises
        `IntentLapsed` as `Catalog.commit_upload` does. Repeating it changes nothing.
        """

    def renditions_of(self, hashes: Sequence[str]) -> list[tuple[str, str, Rendition]]:
        """All renditions of the contents of these SHA-256, behind the hash and the name of the
        limits."""

    def drop_rendition(self, sha256: str, fit: str, *, now: int) -> None:
        """Forget a rendition, so that it is made anew; its key becomes due garbage."""

    def take_in_unready(self, record: Record, *, key_due_at: int) -> None:
        """Hold a pending or rejected id with its upload key, garbage from ``key_due_at`` on.

        An id that is ready here stays so, whatever the record says. Repeating it changes nothing.
        """
