"""Asking the sidecar what an id stands for."""
