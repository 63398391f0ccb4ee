"""Joining a service's path with what is left of the request's: path_handling v0."""


def upstream_path(base: bytes, path: bytes, prefix: bytes | None, strip: bool) -> bytes:
    """Return the path that the upstream is asked for.

    base: the service's path, "/" if it has none. path: the normalised request path.
    prefix: what the route matched, if it is to be stripped.
    """
    rest = _without_dots(path[len(prefix if prefix is not None else b"/") :])
    if base.endswith(b"/"):
        if not strip:
            return base + path[1:]
        if rest:
            return base[:-1] + rest if rest.startswith(b"/") else base + rest
        return base if base == b"/" or path.endswith(b"/") else base[:-1]
    if not strip:
        return base if path == b"/" else base + path
    if rest:
        return base + rest if rest.startswith(b"/") else base + b"/" + rest
    return base + b"/" if len(path) > 1 and path.endswith(b"/") else base


def _without_dots(rest: bytes) -> bytes:
    # a prefix that ends inside a segment can leave dots at the front
    if rest in (b".", b".."):
        return b""
    if rest.startswith(b"./"):
        return rest[2:]
    if rest.startswith(b"../"):
        return rest[3:]
    return rest
