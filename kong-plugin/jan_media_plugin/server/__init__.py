"""The plugin server: kong-pdk's, on one event loop, and closed when anything fails.

``listener`` binds the socket and runs the loop; ``connection`` turns bytes into calls of
``plugin_server``; an ``event`` is one run of a handler, as a task that awaits Kong's PDK and other
I/O; ``watches`` notice a process that stood still and a handler that never pauses; ``command`` is
the command line.

If an event ends without an answer, Kong proxies the request as if there were no plugin. So nothing
here lets an event end that way: every failure is answered with ``kong.response.exit``.

A plugin's constructor gets Kong's JSON: an unset field is ``None``, an empty list may be ``{}``
(Lua has one empty table), long numbers may have been rounded to a double, and Kong adds ``__seq__``
and ``__plugin_id``. The constructor runs on the loop, outside any event:
it must not wait. In PDK arguments a ``None`` that is not the last one may cut the list short in
Lua, and a ``None`` inside a map is a key that is not there.
"""
