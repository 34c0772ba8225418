"""Errands: work beside training, such as drawing, that a worker without a job can do."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")

PATIENCE = 30.0  # seconds for which the value of an errand is waited for


class Errand(Generic[T]):
    """The value of a function, which a worker may compute meanwhile.

    An errand must not change anything: where no worker has it, or it fails there, the process that
    asks for its value computes it itself. So whatever is wrong with it shows itself there.

    Parameters
    ----------
    function : callable
        The function, which a worker can import.
    *arguments
        Its arguments.
    answer : callable or None
        Waits for the answer of a worker, so many seconds at most; None where no worker has it.

    Attributes
    ----------
    was_answered : bool
        Whether a worker has given the value.
    """

    def __init__(
        self,
        function: Callable[..., T],
        *arguments: Any,
        answer: Callable[[float], T] | None = None,
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._answer = answer
        self._values: list[T] = []  # the value, once it is known
        self.was_answered = False

    def value(self) -> T:
        """The value, once the worker has it; it is computed once, however often it is asked for."""
        if not self._values:
            self._values.append(self._computed())
        return self._values[0]

    def _computed(self) -> T:
        if self._answer is not None:
            try:
                answer = self._answer(PATIENCE)
            except Exception:
                # The worker may have died, or stand still, and somebody has to do it.
                self._answer = None
            else:
                self.was_answered = True
                return answer
        return self._function(*self._arguments)


class Ask(Protocol):
    """How an errand is asked for: with a function and its arguments."""

    def __call__(self, function: Callable[..., T], *arguments: Any) -> Errand[T]:
        """The errand, which has begun where somebody has time for it."""
