"""devkong: a stand-in for Kong 3.9 on a laptop and in tests. It behaves as Kong does."""
