"""What a plugin's config may hold."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from devkong.config.schema import Fields

Check = Callable[[dict[str, Any]], Iterable[tuple[str, str]]]


def no_further_check(_config: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The fields say all."""
    return ()


class PluginSchema(NamedTuple):
    """The fields of config, and what must hold between them.

    check yields (field, what is wrong) for a processed config.
    """

    fields: Fields
    check: Check = no_further_check
