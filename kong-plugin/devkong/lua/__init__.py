"""Kong's kit for plugins, in Lua, and what it asks of Python; a LuaJIT that runs both."""
