"""The plugin server: kong-pdk's, on one event loop, and closed when anything fails.

``listener`` binds the socket and runs the loop; ``connection`` turns bytes into calls of
``plugin_server``; an ``event`` is one run of a handler, a task that awaits Kong's PDK and whatever
else it waits for; ``watches`` notice a process that stood still and a handler that never pauses;
``command`` is the command line.

Kong proxies a request un-plugged whenever an event ends in anything but an answer. So nothing here
lets an event end that way: what fails is answered with ``kong.response.exit``.

What reaches a plugin's constructor is Kong's JSON: a field that is not set is ``None``, an empty
list may arrive as ``{}`` (Lua has one empty table), long numbers may have passed through a double,
and Kong adds ``__seq__`` and ``__plugin_id``. The constructor runs on the loop, outside any event:
it must not wait. In PDK arguments a ``None`` that is not the last one may cut the list short in
Lua, and a ``None`` inside a map is a key that is not there.
"""
