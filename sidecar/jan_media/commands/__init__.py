"""The commands of ``jan-media``."""
