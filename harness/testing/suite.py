"""A check and its outcome: what was measured, and how much is allowed."""

import functools
import traceback
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.boundary import foreign
from harness.errors import UsageError, in_words
from harness.ops import debug

P, B, I, UNITS = 3, 4, 7, 5


SEEDS = [11, 12, 13]


STEP = 1e-6  # of a difference quotient in float64


GRADIENT = 1e-6  # relative error allowed against it


# Where kinks, saturation and overflow of activations live, besides ordinary numbers
POINTS = [0.0, 1e-8, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 20.0, 1e3]


DEVICE = 1e-5  # of the norm of the parameters: float32 products in another order, one step


# What a call may allocate: Python objects and NumPy's own buffer of 8192 elements, but no array of
# these checks' sizes
ALLOWANCE = 100_000


Measure = Callable[[], Any]


class Found(NamedTuple):
    """What a check measured, and what to add to its line if that is too much."""

    number: float
    note: str


class Outcome(NamedTuple):
    """One check: it holds if number <= limit. message: what must hold; raised: what came instead of
    a number.
    """

    name: str
    ok: bool
    number: float
    limit: float
    message: str
    raised: str = ""

    def __str__(self) -> str:
        if self.ok:
            return f"ok    {self.name}" + (
                f": {self.number:.3g} <= {self.limit:.3g}" if self.limit else ""
            )
        if self.raised:
            return f"FAIL  {self.name}: {self.raised}; {self.message}"
        return f"FAIL  {self.name}: {self.number:.3g}, at most {self.limit:.3g} expected; {self.message}"


class Suite:
    """Collects outcomes; a check that raises has failed. origin: the plugin's file, of which a line
    is told.
    """

    def __init__(self, origin: str) -> None:
        self.outcomes: list[Outcome] = []
        self.suffix, self.origin, self.told = "", origin, set[str]()

    def must(self, name: str, message: str, limit: float = 0) -> Callable[[Measure], None]:
        """Decorates a function that measures a number, and runs it at once."""

        def run(measure: Measure) -> None:
            self.add(name, message, limit, measure)

        return run

    def add(self, name: str, message: str, limit: float, measure: Measure) -> None:
        raised = ""
        try:
            with foreign(f"what is checked here ({name})"):
                found = measure()
                number = float(found.number if isinstance(found, Found) else found)
            if isinstance(found, Found) and not number <= limit:
                message += f"; {found.note}"
        except Exception as error:  # whatever a plugin raises is the finding
            raised, number = self._told(error), np.inf
        self.outcomes.append(
            Outcome(name + self.suffix, bool(number <= limit), number, limit, message, raised)
        )

    def _told(self, error: Exception) -> str:
        """What was raised, and at which line of the plugin; the same once more is only "again"."""
        words, own = (
            in_words(error),
            [f for f in traceback.extract_tb(error.__traceback__) if f.filename == self.origin],
        )
        kind, _, text = words.partition(": ")
        if own:
            kind += f" at {Path(self.origin).name}:{own[-1].lineno}"
        elif isinstance(error, UsageError):  # a sentence of ours, which needs no name
            return text
        again = f"{kind}{text}" in self.told
        self.told.add(f"{kind}{text}")
        return f"{kind} again" if again else f"{kind}: {text}"

    def groups(self, *groups: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Groups of checks, one after the other; what a group needs before its first check may fail
        too.
        """
        for group in groups:
            before = [o for o in self.outcomes if o.name == "runs" + self.suffix]
            self.add(
                "runs",
                "building it and calling it once must work",
                0,
                functools.partial(_run, group, self, args),
            )
            # One line of it is enough
            again = before and self.outcomes[-1].raised.endswith(" again")
            if self.outcomes[-1].name == "runs" + self.suffix and (self.outcomes[-1].ok or again):
                del self.outcomes[-1]


def _run(group: Callable[..., None], suite: Suite, args: tuple[Any, ...]) -> int:
    """A group of checks as a check of its own, which fails where the group raises."""
    group(suite, *args)
    return 0


# Measuring ----------------------------------------------------------------------------------------
def different(a: Any, b: Any) -> float:
    """How many elements differ (NaN equals NaN); infinite where shape or type do."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    return float(np.sum(~((a == b) | ((a != a) & (b != b)))))


def bad(*arrays: Any) -> float:
    """How many elements are not finite."""
    return float(sum(np.sum(~np.isfinite(a)) for a in arrays))


def random_numbers(
    shape: tuple[int, ...], seed: int = 1, extreme: bool = False, dtype: Any = np.float64
) -> np.ndarray:
    """Normal numbers; where extreme, 0, tiny and large ones of both signs among them."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape)
    return (x * rng.choice([0.0, 1e-8, 1.0, 30.0, 1e3], shape) if extreme else x).astype(dtype)


def allocated(call: Callable[[], Any]) -> float:
    """The most bytes held during a call beyond those held before; the first calls do not count."""
    ours = not tracemalloc.is_tracing()
    with debug.paused():  # it looks at copies
        call()
        call()
        if ours:
            tracemalloc.start()
        try:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            if ours:
                tracemalloc.stop()


def quotient_error(
    f: Callable[[], np.ndarray], array: np.ndarray, gradient: np.ndarray, direction: np.ndarray
) -> float:
    """Relative error of gradient . direction against a central difference of sum(f()), allowing for
    rounding.
    """
    saved, sums, rounding = array.copy(), [], 0.0
    for sign in (1.0, -1.0):
        array[...] = saved + sign * STEP * direction
        values = f()
        sums.append(np.sum(values))
        rounding += 20 * np.finfo(np.float64).eps * np.sum(np.abs(values)) / STEP
    array[...] = saved
    numeric, terms = (sums[0] - sums[1]) / (2 * STEP), gradient * direction
    size = max(np.sum(np.abs(terms)), abs(numeric), 1e-12) + rounding / GRADIENT
    error = abs(np.sum(terms) - numeric) / size
    return error if np.isfinite(error) else np.inf
