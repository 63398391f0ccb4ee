"""Runs the sidecar: sockets, worker processes, threads, metrics."""
