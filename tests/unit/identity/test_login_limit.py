"""How often one address may log in."""

import pytest
from jan_media.identity.login_limit import LoginLimit


def test_a_burst_is_admitted_and_then_a_steady_rate() -> None:
    limit = LoginLimit(3)
    assert [limit.wait("192.0.2.1", 0.0) for _ in range(3)] == [0, 0, 0]
    assert limit.wait("192.0.2.1", 0.0) == pytest.approx(20)
    assert limit.wait("192.0.2.1", 5.0) == pytest.approx(15)
    assert limit.wait("192.0.2.1", 20.0) == 0
    assert limit.wait("192.0.2.1", 20.0) > 0


def test_a_limit_of_0_is_none() -> None:
    limit = LoginLimit(0)
    assert {limit.wait("192.0.2.1", 0.0) for _ in range(1000)} == {0}


def test_a_refused_login_costs_nothing() -> None:
    limit = LoginLimit(1)
    limit.wait("192.0.2.1", 0.0)
    for _ in range(100):
        assert limit.wait("192.0.2.1", 30.0) == pytest.approx(30)
    assert limit.wait("192.0.2.1", 60.0) == 0


def test_a_long_pause_earns_one_burst_and_no_more() -> None:
    limit = LoginLimit(2)
    limit.wait("192.0.2.1", 0.0)
    assert [limit.wait("192.0.2.1", 1e6) > 0 for _ in range(3)] == [False, False, True]


def test_addresses_do_not_share_a_limit() -> None:
    limit = LoginLimit(1)
    assert limit.wait("192.0.2.1", 0.0) == 0
    assert limit.wait("192.0.2.2", 0.0) == 0
    assert limit.wait("2001:db8:0:1::1", 0.0) == 0
    assert limit.wait("2001:db8:0:2::1", 0.0) == 0


def test_one_client_in_many_spellings_is_one() -> None:
    limit = LoginLimit(1)
    assert limit.wait("192.0.2.1", 0.0) == 0
    assert limit.wait("::ffff:192.0.2.1", 0.0) > 0
    assert limit.wait("2001:db8::1", 0.0) == 0
    assert limit.wait("2001:db8::ffff:ffff:ffff:ffff", 0.0) > 0


def test_a_clock_that_goes_back_admits_nobody_twice() -> None:
    limit = LoginLimit(1)
    assert limit.wait("192.0.2.1", 100.0) == 0
    assert limit.wait("192.0.2.1", 50.0) > 0


def test_memory_is_bounded_and_the_longest_silent_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jan_media.identity.login_limit.MOST_ADDRESSES", 100)
    limit = LoginLimit(1)
    for number in range(1000):
        limit.wait(f"10.0.{number // 250}.{number % 250}", 0.0)
        limit.wait("192.0.2.1", 0.0)
    assert limit.wait("192.0.2.1", 0.0) > 0
    assert limit.wait("10.0.3.249", 0.0) > 0  # one of the last hundred
    assert limit.wait("10.0.3.150", 0.0) == 0  # not one of them


def test_only_the_beginning_of_what_is_no_address_is_remembered() -> None:
    limit = LoginLimit(1)
    assert limit.wait("x" * 1_000_000, 0.0) == 0
    assert limit.wait("x" * 64, 0.0) > 0
