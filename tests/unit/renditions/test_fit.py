"""The limits of a route's model (`fit`)."""

import pytest
from jan_media.renditions.fit import Fit


def test_limits_are_read_from_the_plugins_message() -> None:
    asked = {
        "types": ["image/png", "image/JPEG"],
        "max_bytes": 1000,
        "max_edge": None,
        "max_pixels": 900,
        "strip_metadata": True,
    }
    assert Fit.parse(asked) == Fit(("image/jpeg", "image/png"), 1000, None, 900, True)
    assert Fit.parse({}) == Fit()


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"types": "image/png"}, "fit.types"),
        ({"types": [7]}, "fit.types"),
        ({"max_bytes": 0}, "fit.max_bytes"),
        ({"max_bytes": True}, "fit.max_bytes"),
        ({"max_edge": -1}, "fit.max_edge"),
        ({"max_pixels": "9"}, "fit.max_pixels"),
        ({"strip_metadata": 1}, "fit.strip_metadata"),
    ],
)
def test_what_is_no_limit_is_named(asked: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Fit.parse(asked)


def test_the_same_limits_have_the_same_key() -> None:
    first = Fit.parse({"types": ["image/png", "image/jpeg"], "max_edge": 2000})
    again = Fit.parse({"types": ["image/jpeg", "image/png"], "max_edge": 2000})
    assert first.key == again.key
    assert first.key != Fit.parse({"max_edge": 2000}).key
