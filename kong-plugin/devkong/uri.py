"""Kong's normal form of a request path, and the path of the request to the upstream."""

import re

_HEX = re.compile(rb"%([0-9A-Fa-f]{2})")
_RESERVED = frozenset(b"!*'();:@&=+$,/?%#[]")
_TO_ESCAPE = re.compile(rb"[^!#$&'()*+,/:;=?@\[\]A-Za-z0-9\-_.~%]")
_BAD_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")


def path_of(target: bytes) -> bytes:
    """Return a request target without its query, as Kong does."""
    end = target.find(b"?", 1)
    return target if end < 0 else target[:end]


def query_of(target: bytes) -> bytes:
    """Return the raw query of a request target."""
    return target.partition(b"?")[2]


def is_refused_by_nginx(path: bytes) -> bool:
    """Whether nginx answers 400: for a broken escape, a NUL, or a path above the root."""
    if _BAD_PERCENT.search(path):
        return True
    if b"." not in path and b"%2" not in path:
        return False
    depth = 0
    for segment in _HEX.sub(lambda m: bytes([int(m[1], 16)]), path).split(b"/")[1:]:
        if segment == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif segment not in (b"", b"."):
            depth += 1
    return False


def normalize(path: bytes) -> bytes:
    """Decode needless escapes, resolve dot segments, and merge slashes."""
    if path in (b"", b"/"):
        return path
    if b"%" in path:
        path = _HEX.sub(_decode, path)
    if b"." not in path and b"//" not in path:
        return path
    segments: list[bytes] = []
    parts = path.split(b"/")
    for at, segment in enumerate(parts[1:], 1):
        last = at == len(parts) - 1
        if segment == b"..":
            if segments:
                segments.pop()
            if last:
                segments.append(b"")
        elif segment == b"." or segment == b"":
            if last:
                segments.append(b"")
        else:
            segments.append(segment)
    return b"/" + b"/".join(segments)


def escape(path: bytes) -> bytes:
    """Percent-encode the characters that a path may not contain."""
    return _TO_ESCAPE.sub(lambda m: b"%%%02X" % m[0][0], path)


def upstream_path(base: bytes, path: bytes, prefix: bytes | None, strip: bool) -> bytes:
    """Join a service's path with the rest of the request's (path_handling v0).

    base: the service's path, "/" if it has none. path: the normalized request path.
    prefix: the part that the route matched, if it is to be stripped.
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


def _decode(match: re.Match[bytes]) -> bytes:
    value = int(match[1], 16)
    return match[0].upper() if value in _RESERVED else bytes([value])
