"""Paths take Kong's normal form before they are routed, and are joined to the service's after."""

import pytest
from devkong.uri import escape, is_refused_by_nginx, normalize, upstream_path


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        (b"/", b"/"),
        (b"/a//b///c", b"/a/b/c"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/b/..", b"/a/"),
        (b"/a/.", b"/a/"),
        (b"/%61%62", b"/ab"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/a%2e%2e/b", b"/a../b"),
        (b"/%2e%2e/b", b"/b"),
        (b"/x%20y", b"/x y"),
        (b"/%ff", b"/\xff"),
    ],
)
def test_a_path_is_decoded_unless_reserved_and_its_dots_and_slashes_are_resolved(
    sent: bytes, normal: bytes
) -> None:
    assert normalize(sent) == normal


def test_a_normal_path_is_escaped_again_for_the_upstream() -> None:
    assert escape(b"/x y/\xff/a%2F") == b"/x%20y/%FF/a%2F"


@pytest.mark.parametrize("path", [b"/%zz", b"/a%", b"/%00", b"/../a", b"/a/../../b", b"/%2e%2e/b"])
def test_nginx_refuses_broken_escapes_nul_and_ways_above_the_root(path: bytes) -> None:
    assert is_refused_by_nginx(path)


@pytest.mark.parametrize("path", [b"/a/../b", b"/%20", b"/a/b/../..", b"/..a"])
def test_nginx_accepts_other_paths(path: bytes) -> None:
    assert not is_refused_by_nginx(path)


# path_handling v0: the table of Kong's documentation.
@pytest.mark.parametrize(
    ("base", "prefix", "strip", "request_path", "expected"),
    [
        (b"/", b"/", True, b"/", b"/"),
        (b"/", b"/tea", True, b"/tea", b"/"),
        (b"/", b"/tea", True, b"/tea/cup", b"/cup"),
        (b"/", b"/tea", True, b"/teapot", b"/pot"),
        (b"/", b"/tea", False, b"/tea/cup", b"/tea/cup"),
        (b"/bar", b"/tea", True, b"/tea", b"/bar"),
        (b"/bar", b"/tea", True, b"/tea/", b"/bar/"),
        (b"/bar", b"/tea", True, b"/tea/cup", b"/bar/cup"),
        (b"/bar", b"/tea", True, b"/teapot", b"/bar/pot"),
        (b"/bar", b"/tea", False, b"/tea/cup", b"/bar/tea/cup"),
        (b"/bar", b"/", False, b"/", b"/bar"),
        (b"/bar/", b"/tea", True, b"/tea", b"/bar"),
        (b"/bar/", b"/tea/", True, b"/tea/", b"/bar/"),
        (b"/bar/", b"/tea", True, b"/tea/cup", b"/bar/cup"),
        (b"/bar/", b"/tea", True, b"/teapot", b"/bar/pot"),
        (b"/bar/", b"/tea", False, b"/tea", b"/bar/tea"),
        (b"/bar", b"/tea", True, b"/tea..", b"/bar"),
        (b"/bar", b"/tea", True, b"/tea../etc", b"/bar/etc"),
    ],
)
def test_the_prefix_is_stripped_and_the_rest_joined_to_the_services_path(
    base: bytes, prefix: bytes, strip: bool, request_path: bytes, expected: bytes
) -> None:
    assert upstream_path(base, request_path, prefix if strip else None, strip) == expected
