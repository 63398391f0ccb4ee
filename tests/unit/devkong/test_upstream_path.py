"""path_handling v0: the table of Kong's documentation."""

import pytest
from devkong.router.upstream_path import upstream_path


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
