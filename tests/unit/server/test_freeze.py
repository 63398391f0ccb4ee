"""A process that was frozen closes its connections; a running one does not."""

import asyncio
from typing import cast

from jan_media_plugin.server.watches import Freeze


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


def with_connection(patience: float) -> tuple[Freeze, Transport]:
    freeze, transport = Freeze(patience), Transport()
    freeze.transports.add(cast(asyncio.Transport, transport))
    return freeze, transport


def test_while_it_moves_nothing_is_dropped() -> None:
    freeze, transport = with_connection(patience=60)
    freeze.beat()
    assert not freeze.noticed()
    assert not transport.aborted


def test_after_standing_still_for_longer_than_kong_waits_connections_are_closed() -> None:
    freeze, transport = with_connection(patience=60)
    freeze._moved_at -= 61
    assert freeze.noticed()
    assert transport.aborted


def test_what_was_still_in_the_backlog_is_dropped_too() -> None:
    freeze, _ = with_connection(patience=60)
    freeze._moved_at -= 61
    freeze.beat()
    assert freeze.noticed()
    freeze._backlog_until = 0
    assert not freeze.noticed()
