"""What the library promises, as a handful of dictionaries: no database, no storage, no locks."""

from collections.abc import Callable
from dataclasses import dataclass, field

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
RETENTION = 30 * DAY
UPLOAD_TTL = 15 * MINUTE
HOLD = 60 * MINUTE


@dataclass
class Item:
    """One id. ``content`` names the bytes."""

    state: str  # pending, ready, rejected
    owners: set[str]
    expires_at: int
    upload_until: int = 0  # of a direct upload
    content: str = ""
    place: int = 0  # when it became ready, among all


@dataclass
class Numbers:
    """What a sweep is to say."""

    media: int = 0
    uploads: int = 0
    contents: int = 0


@dataclass
class Model:
    """The whole state. Times are milliseconds, as the library's."""

    bad: dict[str, str]  # contents that are refused, and their error codes
    kept_until: Callable[[int], int]  # the end of the retention of what is uploaded then
    items: dict[str, Item] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)  # upload keys in the storage: contents
    upload_until: dict[str, int] = field(default_factory=dict)  # of every upload key there was
    upload_due: dict[str, int] = field(default_factory=dict)  # when each may be deleted
    orphans: dict[str, int] = field(default_factory=dict)  # other unreferenced keys: when due
    ready: int = 0

    def live(self, content: str, now: int) -> str | None:
        """The id that an upload of ``content`` answers, if there is one already."""
        found = [
            (item.place, id)
            for id, item in self.items.items()
            if item.state == "ready" and item.content == content and item.expires_at > now
        ]
        return min(found)[1] if found else None

    def claim(self, id: str, owner: str, now: int) -> None:
        """An upload of content that is known."""
        item = self.items[id]
        item.owners.add(owner)
        item.expires_at = max(item.expires_at, self.kept_until(now))

    def add(self, id: str, content: str, owner: str, now: int) -> None:
        """A first upload."""
        self.ready += 1
        self.items[id] = Item(
            "ready", {owner}, self.kept_until(now), content=content, place=self.ready
        )

    def promise(self, id: str, key: str, owner: str, now: int) -> None:
        """A direct upload was prepared."""
        until = now + UPLOAD_TTL
        self.items[id] = Item("pending", {owner}, until + HOLD, upload_until=until)
        self.upload_until[key] = until
        self.upload_due[key] = until + HOLD

    def settle(self, id: str, content: str, now: int) -> None:
        """A pending id was used and its upload held ``content``."""
        item = self.items[id]
        if content in self.bad:
            item.state, item.content = "rejected", content
        else:
            self.ready += 1
            item.state, item.content, item.place = "ready", content, self.ready
            item.expires_at = self.kept_until(now)

    def give_up(self, id: str, owner: str, now: int) -> str:
        """A deletion; the error code it answers, "" for none."""
        item = self.items.get(id)
        if item is None or (item.expires_at <= now and item.state != "pending"):
            return "media_not_found"
        if owner not in item.owners:
            return "not_owner"
        item.owners.remove(owner)
        if not item.owners:
            del self.items[id]
        return ""

    def sweep(self, now: int, ahead: int) -> Numbers:
        """A sweep that ran to its end."""
        for id in sorted(self.items):
            item, key = self.items[id], f"images/{id}"
            late = item.expires_at <= now + ahead and item.upload_until <= now
            if item.state == "pending" and late and key in self.uploads:
                self.settle(id, self.uploads.pop(key), now)
        over = {id: item for id, item in self.items.items() if item.expires_at <= now}
        before = self.contents()
        for id in over:
            del self.items[id]
        for key, due in self.upload_due.items():
            if due <= now + ahead:
                self.uploads.pop(key, None)
        self.forget_orphans(now + ahead)
        ready = sum(item.state == "ready" for item in over.values())
        return Numbers(ready, len(over) - ready, len(before - self.contents()))

    def sweep_half(self, until: int) -> None:
        """A sweep of what is due by then that died when it had deleted all but uploads.

        What it has taken and not forgotten is due again by then.
        """
        self.forget_orphans(until)
        for key, due in self.upload_due.items():
            self.upload_due[key] = until if due <= until else due

    def forget_orphans(self, until: int) -> None:
        """Unreferenced bytes that are due by then are deleted."""
        self.orphans = {key: due for key, due in self.orphans.items() if due > until}

    def contents(self) -> set[str]:
        """Contents that some id stands for, live or not yet swept."""
        return {item.content for item in self.items.values() if item.state == "ready"}

    def answer(self, id: str, now: int) -> str:
        """What asking for an id answers: its content, or an error code."""
        item = self.items.get(id)
        if item is None:
            return "media_not_found"
        if item.state == "pending":
            return "media_not_found" if item.upload_until <= now else "upload_pending"
        if item.expires_at <= now:
            return "media_not_found"
        return self.bad[item.content] if item.state == "rejected" else item.content
