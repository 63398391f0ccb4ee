"""Plugins, in Lua or in a plugin server, and the choice of those that a request meets."""
