"""The plugin development kit, shared by external plugins, bundled plugins and Lua."""
