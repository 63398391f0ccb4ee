"""Running the sidecar: sockets, worker processes, threads, metrics."""
