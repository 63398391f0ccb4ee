"""The gateway's secret."""

import pytest
from jan_media.identity.gateway_secret import GatewaySecret


def test_the_current_and_the_previous_secret_are_both_admitted() -> None:
    secret = GatewaySecret("new-secret", "old-secret")
    assert secret.admits("new-secret")
    assert secret.admits("old-secret")


@pytest.mark.parametrize(
    "presented",
    [None, "", "new-secre", "new-secret ", "NEW-SECRET", "other", "gehëim", "\udcff", "\0"],
)
def test_anything_else_is_not(presented: str | None) -> None:
    assert not GatewaySecret("new-secret", "old-secret").admits(presented)


def test_a_secret_may_have_any_characters() -> None:
    assert GatewaySecret("gehëim ☃").admits("gehëim ☃")
    assert not GatewaySecret("gehëim ☃").admits("geheim")


@pytest.mark.parametrize("presented", [None, "", "x"])
def test_without_a_secret_nothing_is_admitted(presented: str | None) -> None:
    secret = GatewaySecret("")
    assert not secret.configured
    assert not secret.admits(presented)


def test_an_empty_previous_secret_is_none() -> None:
    assert GatewaySecret("x", "").configured
    assert not GatewaySecret("x", "").admits("")
