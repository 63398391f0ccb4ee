"""Asks the sidecar for the media of ids."""
