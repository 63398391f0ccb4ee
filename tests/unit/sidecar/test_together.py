"""Calls that are done together."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from jan_media.catalog.together import MOST, Together

SOON = 30  # seconds: the end of patience of a test, not what it takes


class Work:
    """Answers each number with its square, once it is let; an odd one fails the whole group."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.groups.append(list(asked))
        self.begun.release()
        assert self.let.acquire(timeout=SOON)
        if any(number % 2 for number in asked):
            raise ValueError(str(asked))
        return [number * number for number in asked]

    def has_begun(self) -> None:
        assert self.begun.acquire(timeout=SOON)


def wait_until_waiting(together: Together[int, int], count: int) -> None:
    turn = threading.Event()
    while len(together._waiting) < count:
        turn.wait(0.001)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is so impatient that a slow machine could change a test."""
    monkeypatch.setattr("jan_media.catalog.together.PATIENCE", SOON)


@pytest.mark.usefixtures("patient")
def test_calls_that_come_while_one_runs_are_done_by_the_next_and_get_their_own_answers() -> None:
    work = Work()
    together = Together(work)
    with ThreadPoolExecutor(9) as threads:
        first = threads.submit(together.do, 2)
        work.has_begun()
        others = [threads.submit(together.do, number) for number in range(4, 20, 2)]
        wait_until_waiting(together, len(others))
        work.let.release(2)
        assert first.result(SOON) == 4
        assert [other.result(SOON) for other in others] == [n * n for n in range(4, 20, 2)]
    assert [sorted(group) for group in work.groups] == [[2], list(range(4, 20, 2))]


@pytest.mark.usefixtures("patient")
def test_an_error_is_that_of_all_it_was_raised_for_and_of_no_other() -> None:
    work = Work()
    together = Together(work)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(together.do, 2)
        work.has_begun()
        others = [threads.submit(together.do, number) for number in (3, 4)]
        wait_until_waiting(together, 2)
        work.let.release(2)
        assert first.result(SOON) == 4
        for other in others:
            with pytest.raises(ValueError, match="3"):
                other.result(SOON)
    work.let.release()
    assert together.do(6) == 36


def test_a_call_that_has_waited_too_long_runs_beside_one_that_hangs() -> None:
    work = Work()
    together = Together(work)
    with ThreadPoolExecutor(2) as threads:
        hangs = threads.submit(together.do, 2)
        work.has_begun()
        second = threads.submit(together.do, 4)
        work.has_begun()  # and the first has not ended
        work.let.release(2)
        assert (hangs.result(SOON), second.result(SOON)) == (4, 16)
    work.let.release()
    assert together.do(8) == 64
    assert work.groups == [[2], [4], [8]]


@pytest.mark.usefixtures("patient")
def test_a_group_has_an_end() -> None:
    work = Work()
    together = Together(work)
    with ThreadPoolExecutor(MOST + 3) as threads:
        calls = [threads.submit(together.do, 2)]
        work.has_begun()
        calls += [threads.submit(together.do, 4) for _ in range(MOST + 2)]
        wait_until_waiting(together, MOST + 2)
        work.let.release(3)
        assert [call.result(SOON) for call in calls] == [4] + [16] * (MOST + 2)
    assert list(map(len, work.groups)) == [1, MOST, 2]


def test_many_threads_at_once_all_get_their_own_answers() -> None:
    together: Together[int, int] = Together(lambda asked: [number * number for number in asked])
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(together.do, range(2000))) == [n * n for n in range(2000)]
