"""The jan-media plugin for Kong: auth, limits, and jan_* ids resolved inside request bodies."""
