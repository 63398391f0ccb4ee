"""Calls that come while one is running are done together by the next.

A database is asked for twenty changes in hardly more time than for one, and makes them durable in
one go. So a call whose turn it is takes along those that wait by then, and the threads of these
find their answers. Without load each call is done at once and alone.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

MOST = 100  # calls that are done together
# Seconds that a call waits for its turn. Then it takes it: what runs may hang, on a connection
# whose peer is gone or on a lock.
PATIENCE = 0.5


class _Call(Generic[Asked, Answer]):
    """One thread's call. Its ``turn`` comes when it is answered, or when it is to lead."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.answers: list[Answer] = []  # one, once there is one
        self.error: BaseException | None = None
        self.turn = Lock()
        self.turn.acquire()


class Together(Generic[Asked, Answer]):
    """Does what several threads ask for by one call of ``work``, which answers in their order."""

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answer]]) -> None:
        self._work = work
        self._guard = Lock()
        self._running = 0  # one, more only while one hangs
        self._waiting: list[_Call[Asked, Answer]] = []

    def do(self, asked: Asked) -> Answer:
        """The answer to ``asked``. Raises what ``work`` raised, as all do that were in it."""
        mine: _Call[Asked, Answer] = _Call(asked)
        with self._guard:
            leads = not self._running
            if leads:
                self._running = 1
            else:
                self._waiting.append(mine)
        if not leads and not mine.turn.acquire(timeout=PATIENCE) and not self._jump_in(mine):
            mine.turn.acquire()
        if not mine.answers and mine.error is None:
            self._lead(mine)
        if mine.error is not None:
            raise mine.error
        return mine.answers[0]

    def _jump_in(self, mine: _Call[Asked, Answer]) -> bool:
        """Lead beside what runs; False if somebody has taken the call along by now."""
        with self._guard:
            if mine not in self._waiting:
                return False
            self._waiting.remove(mine)
            self._running += 1
            return True

    def _lead(self, mine: _Call[Asked, Answer]) -> None:
        """Do one's own call and those that wait, then call the next to lead."""
        with self._guard:
            calls = [mine, *self._waiting[: MOST - 1]]
            del self._waiting[: MOST - 1]
        try:
            answers = self._work([call.asked for call in calls])
            for call, answer in zip(calls, answers, strict=True):
                call.answers.append(answer)
        except BaseException as error:
            for call in calls:
                call.error = error
        with self._guard:
            if self._waiting:
                self._waiting.pop(0).turn.release()
            else:
                self._running -= 1
        for call in calls[1:]:
            call.turn.release()
