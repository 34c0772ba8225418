"""Random numbers of a GPU: a kernel that computes each of them from a key and a counter.

That is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3,
SC 2011. Nothing is kept between calls but how many counters have been used. So one launch draws for
all members of a population, each by its own key, and no number depends on the others.
"""

from dataclasses import dataclass
from typing import Any

# How many numbers come from one counter: all of its 32-bit words in float32, two in float64 each.
PER_COUNTER = {"float32": 4, "float64": 2}

_SOURCE = """extern "C" __global__ void kernel({T}* out_, const unsigned long long* keys_, \
long long n, long long chunks, long long used) {
    const long long p = blockIdx.x / chunks;
    const long long first = blockIdx.x % chunks * blockDim.x + threadIdx.x;
    for (long long q = first; q * {per} < n; q += chunks * blockDim.x) {
        const unsigned long long counter = used + q;
        unsigned c[4] = {(unsigned)counter, (unsigned)(counter >> 32), 0, 0};
        unsigned low = (unsigned)keys_[p];
        unsigned high = (unsigned)(keys_[p] >> 32);
        for (int round = 0; round < 10; round++) {
            const unsigned long long x = 0xD2511F53ull * c[0];
            const unsigned long long y = 0xCD9E8D57ull * c[2];
            c[0] = (unsigned)(y >> 32) ^ c[1] ^ low;
            c[1] = (unsigned)y;
            c[2] = (unsigned)(x >> 32) ^ c[3] ^ high;
            c[3] = (unsigned)x;
            low += 0x9E3779B9u;
            high += 0xBB67AE85u;
        }
        for (int k = 0; k < {per} && q * {per} + k < n; k++) out_[p * n + q * {per} + k] = {number};
    }
}
"""
# The first 24 and 53 bits: multiples of 2^-24 and 2^-53 below 1.
_NUMBERS = {
    "float32": "(c[k] >> 8) * 5.9604644775390625e-8f",
    "float64": "((c[2 * k] >> 5) * 67108864.0 + (c[2 * k + 1] >> 6)) * 1.1102230246251565e-16",
}
_TYPES = {"float32": "float", "float64": "double"}


@dataclass
class Stream:
    """A stream of random numbers.

    Attributes
    ----------
    key
        64 bits, which tell it from others.
    used
        How many counters have been used.
    keys
        On the device the keys of this stream and of those that are drawn from together with it,
        once it is used.
    """

    key: int
    used: int = 0
    keys: Any = None


def source_of(dtype: str) -> str:
    """Return the source of the kernel that fills an array of this type with numbers in [0, 1)."""
    source = _SOURCE.replace("{T}", _TYPES[dtype]).replace("{number}", _NUMBERS[dtype])
    return source.replace("{per}", str(PER_COUNTER[dtype]))
