"""HTTP/1.1 on both sides, byte for byte: clients in front, upstreams behind."""
