"""Random numbers of a GPU: those of the paper, uniform, and each member by its own key."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from standing_in import run_on_the_stand_in

from harness.ops import ops_for, philox, stream

TESTS = Path(__file__).parents[1]


def philox4x32(counter: int, key: int) -> list[int]:
    """The four words of a counter of 128 bits, as the paper writes the rounds."""
    words = [counter >> 32 * k & 0xFFFFFFFF for k in range(4)]
    keys = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        x = 0xD2511F53 * words[0]
        y = 0xCD9E8D57 * words[2]
        words = [
            y >> 32 ^ words[1] ^ keys[0],
            y & 0xFFFFFFFF,
            x >> 32 ^ words[3] ^ keys[1],
            x & 0xFFFFFFFF,
        ]
        keys = [(keys[0] + 0x9E3779B9) % 2**32, (keys[1] + 0xBB67AE85) % 2**32]
    return words


def drawn(keys: list[int], shape: tuple[int, ...], dtype: Any, used: int = 0) -> np.ndarray:
    ops = ops_for("gpu")
    out = ops.empty(shape, dtype)
    streams = [philox.Stream(key, used) for key in keys]
    ops.uniform(streams, out)
    return ops.to_host(out)


def test_the_rounds_are_those_of_the_paper() -> None:
    """The known answers that its authors publish with Random123."""
    assert philox4x32(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    most = philox4x32(2**128 - 1, 2**64 - 1)
    assert most == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    counter = 0x03707344_13198A2E_85A308D3_243F6A88
    pi = philox4x32(counter, 0x299F31D0_A4093822)
    assert pi == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.gpu
@pytest.mark.parametrize("key", [0, 0x299F31D0A4093822, 2**64 - 1])
@pytest.mark.parametrize("used", [0, 5, 2**32 - 1, 2**40])
def test_numbers_are_the_words_of_the_counters(key: int, used: int) -> None:
    words = [word for q in range(500) for word in philox4x32(used + q, key)]
    single = drawn([key], (1999,), np.float32, used)
    np.testing.assert_array_equal(single, np.array([w >> 8 for w in words[:1999]]) / 2**24)
    pairs = np.array(words, np.uint64).reshape(-1, 2)
    expected = ((pairs[:, 0] >> 5) * 2.0**26 + (pairs[:, 1] >> 6)) / 2**53
    np.testing.assert_array_equal(drawn([key], (999,), np.float64, used), expected[:999])


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_member_draws_what_it_would_draw_alone(dtype: Any) -> None:
    keys = [3, 2**63 + 1, 77]
    together = drawn(keys, (3, 41, 33), dtype)
    for p, key in enumerate(keys):
        np.testing.assert_array_equal(together[p], drawn([key], (41, 33), dtype))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stream_goes_on_and_is_uniform(dtype: Any) -> None:
    ops = ops_for("gpu")
    one = ops.generator(stream(1, "mask"))
    other = ops.generator(stream(1, "mask", epoch=1))
    assert one.key != other.key
    first, second = ops.empty((500, 401), dtype), ops.empty((500, 401), dtype)
    ops.uniform([one], first)
    ops.uniform([one], second)
    numbers = np.concatenate([ops.to_host(first), ops.to_host(second)]).ravel()
    assert len(np.unique(numbers[:1000])) == 1000
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(numbers[:200_500], numbers[200_500:])[0, 1]) < 0.01


@pytest.mark.gpu
def test_a_population_draws_in_one_launch() -> None:
    import cupy

    ops = ops_for("gpu")
    streams = [ops.generator(stream(seed, "mask")) for seed in range(64)]
    out = ops.empty((64, 10, 7), np.float32)
    ops.uniform(streams, out)
    before = getattr(cupy, "launches", 0)
    ops.uniform(streams, out)
    assert getattr(cupy, "launches", 0) - before in (0, 1)
    assert len(np.unique(ops.to_host(out))) > 4400


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in compiles kernels with gcc")
def test_on_the_stand_in() -> None:
    """All of the above that is marked `gpu`, where there is none."""
    run_on_the_stand_in(__file__)
