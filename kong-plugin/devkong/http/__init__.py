"""HTTP/1.1 to clients and upstreams, byte for byte."""
