"""Samples of a profile count for the part of the plugin that they are in."""

from bench.profile import OTHER, shares_of

RAW = """\
<module> (runpy.py:1);run (asyncio/base_events.py:2);access (jan_media_plugin/handler.py:9) 3
access (jan_media_plugin/handler.py:9);_walk (jan_media_plugin/rewrite/find.py:5) 4
run (asyncio/base_events.py:2);feed (jan_media_plugin/server/wire.py:7);fallback (unknown.py:1) 2
nowhere (unknown.py:1) 1
"""


def test_a_sample_counts_for_the_innermost_part_that_it_names() -> None:
    assert shares_of(RAW) == {
        "handler": 0.3,
        "rewrite: find and replace ids": 0.4,
        "MsgPack and sockets": 0.2,
        OTHER: 0.1,
    }
