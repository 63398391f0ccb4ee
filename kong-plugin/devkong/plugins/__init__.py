"""Plugins, written in Lua or in a plugin server, and which of them a request meets."""
