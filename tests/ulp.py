"""How far the float32 functions of compiled loops are from the true values, and how fast they are.

    python tests/ulp.py                   # over all float32 numbers: about two minutes a function
    python tests/ulp.py --every 1021 exp  # one function over each 1021st of them
    python tests/ulp.py --speed           # nanoseconds a value, against NumPy and SciPy

It prints the tables of docs/float32.md. An error is measured against NumPy or SciPy in float64, in
units of the last place (ULP): the distance of the float32 numbers around the true value. Functions
of two numbers are measured at as many random pairs.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from scipy import special

from harness.expressions.float32 import FLOAT32, OF_TWO

CHUNK = 2**20
ALL = 2**32

# The twin of each function in float64; the others are NumPy's or SciPy's under the same name.
TWINS: dict[str, Callable[..., Any]] = {"softplus": lambda x, *out: np.logaddexp(0, x, *out)}

# No error is larger, in ULP. Tests hold it at two million points.
BOUNDS = {
    "arccosh": 0.55,
    "arcsinh": 0.55,
    "arctan": 1.2,
    "arctanh": 0.55,
    "cbrt": 0.55,
    "cos": 1.65,
    "cosh": 0.95,
    "entr": 0.55,
    "erf": 1.1,
    "erfc": 1.6,
    "erfcx": 0.55,
    "exp": 1.05,
    "exp2": 0.9,
    "expit": 0.85,
    "expm1": 1.1,
    "hypot": 0.55,
    "log": 0.9,
    "log10": 1.1,
    "log1p": 1.15,
    "log2": 1.1,
    "log_expit": 1.2,
    "log_ndtr": 0.55,
    "logaddexp": 0.55,
    "ndtr": 1.65,
    "power": 0.55,
    "sin": 1.65,
    "sinh": 1.6,
    "softplus": 1.2,
    "tan": 0.7,
    "tanh": 1.1,
    "xlogy": 0.55,
}

# What overflows beyond the largest float32 counts as this number, and so does infinity.
LIMIT = 2.0**128


def twin(name: str) -> Callable[..., Any]:
    """The function of this name from NumPy or SciPy."""
    return TWINS.get(name) or getattr(np, name, None) or getattr(special, name)


@cache
def loop(name: str) -> Callable[..., None]:
    """A compiled loop over arrays of one axis, as a backend makes it: the last one is filled."""
    function = FLOAT32[name]

    @njit(error_model="numpy", fastmath={"contract"})
    def run(x, out):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            out[i] = function(x[i])

    @njit(error_model="numpy", fastmath={"contract"})
    def run_two(x, y, out):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            out[i] = function(x[i], y[i])

    return run_two if name in OF_TWO else run


@njit(error_model="numpy")
def errors(got, truth, bits, out):  # type: ignore[no-untyped-def]
    """Leaves the error of each value in out, in ULP; inf where a nan or the sign of a 0 is wrong."""
    for i in range(got.size):
        value = np.float64(got[i])
        true = truth[i]
        if np.isnan(value) or np.isnan(true):
            out[i] = 0.0 if np.isnan(value) and np.isnan(true) else np.inf
            continue
        if true == 0.0:
            same = np.signbit(value) == np.signbit(true)
            out[i] = abs(value) * 2.0**149 if same else np.inf
            continue
        exponent = min(max(((bits[i] >> 52) & 0x7FF) - 1023, -126), 127)
        value = min(max(value, -LIMIT), LIMIT)
        true = min(max(true, -LIMIT), LIMIT)
        out[i] = abs(value - true) * 2.0 ** (23 - exponent)


def measure(name: str, *arguments: np.ndarray) -> np.ndarray:
    """The error at each x, or each pair of x and y, in ULP."""
    got = np.empty_like(arguments[0])
    loop(name)(*arguments, got)
    with np.errstate(all="ignore"):
        truth = np.asarray(twin(name)(*(argument.astype(np.float64) for argument in arguments)))
    unit = truth
    if name == "logaddexp":
        # Where the sum of the larger argument and the rest is small, it has lost digits to that.
        unit = np.maximum(np.abs(truth), np.abs(np.maximum(*arguments)))
    out = np.empty(got.size)
    errors(got, truth, unit.view(np.int64), out)
    return out


def numbers(start: int, stop: int, every: int) -> np.ndarray:
    """The float32 numbers whose bits are start, start + every, ... below stop."""
    return np.arange(start, stop, every, dtype=np.uint64).astype(np.uint32).view(np.float32)


def pairs(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pairs: half of them of all sizes, the others of such that powers are seldom extreme."""
    rng = np.random.default_rng(seed)
    half = count // 2
    x, y = rng.integers(0, 2**32, (2, half), dtype=np.uint32).view(np.float32)
    # Numbers that are nearer to 1 have larger exponents.
    spread = 2.0 ** rng.uniform(-20, 6, count - half)
    usual_x = np.exp2(spread * rng.uniform(-1, 1, count - half))
    usual_x = usual_x * rng.choice([1, 1, 1, -1], count - half)
    usual_y = rng.uniform(-150, 150, count - half) / spread
    whole = rng.random(count - half) < 0.1
    usual_y[whole] = np.rint(usual_y[whole])
    return (
        np.concatenate([x, usual_x.astype(np.float32)]),
        np.concatenate([y, usual_y.astype(np.float32)]),
    )


def worst(name: str, start: int, stop: int, every: int) -> tuple[float, tuple[float, ...]]:
    """The largest error among some float32 numbers, and where it is."""
    largest: tuple[float, tuple[float, ...]] = (-1.0, ())
    for first in range(start, stop, CHUNK * every):
        if name in OF_TWO:
            arguments = pairs(first, CHUNK)
        else:
            arguments = (numbers(first, min(first + CHUNK * every, stop), every),)
        error = measure(name, *arguments)
        i = int(error.argmax())
        largest = max(largest, (float(error[i]), tuple(float(x[i]) for x in arguments)))
    return largest


def over_all(name: str, every: int, pool: ProcessPoolExecutor) -> tuple[float, tuple[float, ...]]:
    """The largest error among all float32 numbers, by all processes of a pool."""
    step = ALL // 64
    parts = [pool.submit(worst, name, start, start + step, every) for start in range(0, ALL, step)]
    return max(part.result() for part in parts)


def nanoseconds(call: Callable[..., Any], arguments: tuple[np.ndarray, ...]) -> float:
    """The time that a value takes in the best of many calls."""
    out = np.empty_like(arguments[0])
    best = np.inf
    with np.errstate(all="ignore"):
        for _ in range(200):
            start = time.perf_counter()
            call(*arguments, out)
            best = min(best, time.perf_counter() - start)
    return best / out.size * 1e9


def usual(name: str) -> tuple[np.ndarray, ...]:
    """Normal numbers, or what is made of them in the domain of a function."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 15_000)).astype(np.float32)
    if name in ("entr", "log", "log10", "log1p", "log2", "power"):
        x = np.abs(x)
    elif name == "arccosh":
        x = 1 + np.abs(x)
    elif name == "arctanh":
        x = np.tanh(x)
    elif name == "xlogy":
        y = np.abs(y)
    return (x, y) if name in OF_TWO else (x,)


def print_speed(names: list[str]) -> None:
    print("| function | ns a value | NumPy or SciPy |\n|---|---|---|")
    for name in names:
        arguments = usual(name)
        other = twin(name)
        ours = nanoseconds(loop(name), arguments)
        theirs = nanoseconds(other, arguments)
        print(f"| `{name}` | {ours:.2f} | {theirs:.2f} |", flush=True)


def print_errors(names: list[str], every: int) -> None:
    print("| function | largest error, ULP | at |\n|---|---|---|")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name in names:
            error, where = over_all(name, every, pool)
            place = ", ".join(f"{x:.9g}" for x in where)
            print(f"| `{name}` | {error:.3f} | {place} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="FUNCTION", help="the default is all")
    parser.add_argument("--every", type=int, default=1, help="measure at each n-th number")
    parser.add_argument("--speed", action="store_true", help="measure time in place of errors")
    given = parser.parse_args()
    names = given.names or sorted(FLOAT32)
    if given.speed:
        print_speed(names)
    else:
        print_errors(names, given.every)


if __name__ == "__main__":
    main()
