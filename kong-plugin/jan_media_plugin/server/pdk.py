"""``kong``: Kong's PDK as a handler sees it.

The same names and Python-style returns as kong-pdk's: ``kong.request.get_headers(1000)`` returns
the value that Kong answers with, PDKException is raised if Kong answers with an error. One object
serves every event: a call belongs to the greenlet that makes it, and every name is looked up once.
"""

from typing import Any

from jan_media_plugin.server.event import current_event


class Pdk:
    """A PDK function or the name space that holds more of them, such as ``kong.log``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Pdk":
        if name.startswith("_"):
            raise AttributeError(name)
        child = (LogFunction if self._name == "kong.log" or name == "log" else Pdk)(
            f"{self._name}.{name}"
        )
        self.__dict__[name] = child
        return child

    def __call__(self, *args: Any) -> Any:
        """Call the function in Kong. ``kong.response.exit`` and ``.error`` never return.

        Raises PDKException when Kong answers with an error.
        """
        return current_event().pdk(self._name, args)

    def __repr__(self) -> str:
        return self._name


class LogFunction(Pdk):
    """Log functions take anything: what has no counterpart in Lua goes as text."""

    def __call__(self, *args: Any) -> Any:
        plain = tuple(a if type(a) in (str, int, list, dict) else str(a) for a in args)
        return super().__call__(*plain)


kong = Pdk("kong")
