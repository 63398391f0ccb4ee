"""The jan-media plugin for Kong: auth, limits, and jan_* ids resolved inside request bodies."""

from pathlib import Path


def lua_path() -> str:
    """Return what Kong's ``lua_package_path`` must be for Kong to find jan-media-gate.

    The gate is next to this package: kong/plugins/jan-media-gate/handler.lua.
    """
    return f"{Path(__file__).parent.parent}/?.lua;;"
