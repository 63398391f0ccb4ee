"""Kong's plugin development kit (PDK) in Lua, its Python side, and the LuaJIT that runs it."""
