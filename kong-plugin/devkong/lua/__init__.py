"""Lua of pre-function and post-function, run by a real LuaJIT in Kong's sandbox."""
