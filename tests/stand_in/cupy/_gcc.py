"""RawKernel of the stand-in: gcc compiles the source of a kernel, and its threads run in turn.

Memory that the threads of a block share is static here, and thread 0 comes first: what it has written
there the others read, as after a barrier. Other patterns of sharing are none of the package's.
Where NVRTC is installed, which compiles what runs on a card, each source is given to it too.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

# What CUDA has and C has not. The products in double are right to about 1e-13.
SHIM = """
#include <math.h>
#include <stdbool.h>
#define __global__
#define __shared__ static
#define __syncthreads()
static struct { unsigned x; } blockIdx, threadIdx, blockDim, gridDim;
static double normcdf(double x) { return 0.5 * erfc(-0.70710678118654752 * x); }
static float normcdff(float x) { return (float)normcdf(x); }
static double erfcx(double x) {
    if (x < 20) return exp(x * x) * erfc(x);
    double q = 1 / (x * x);
    return 0.56418958354775629 / x * (1 - q * (0.5 - q * (0.75 - q * 1.875)));
}
static float erfcxf(float x) { return (float)erfcx(x); }
"""
TYPES = {
    "float*": np.float32,
    "const float*": np.float32,
    "double*": np.float64,
    "const double*": np.float64,
    "const unsigned long long*": np.uint64,
    "const unsigned char*": np.uint8,
    "const long long*": np.int64,
    "double": np.float64,
    "long long": np.int64,
}
gcc = shutil.which("gcc")


@cache
def compiled(source: str) -> tuple[Any, list[str]]:
    """The function launch(blocks, threads, ...) of a source, and the types of its arguments."""
    head = re.search(r'extern "C" __global__ void kernel\(\s*(.*?)\)', source, re.DOTALL)
    assert head is not None, source
    kinds, names = zip(*(each.rsplit(" ", 1) for each in re.split(r",\s+", head[1])), strict=True)
    launch = f"""
void launch(unsigned blocks, unsigned threads, {head[1]}) {{
    blockDim.x = threads;
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < threads; threadIdx.x++) kernel({", ".join(names)});
}}
"""
    import nvrtc  # from tests/

    code = SHIM + source.replace('extern "C" ', "") + launch
    folder = Path(tempfile.gettempdir()) / f"harness-stand-in-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    has_nvrtc = nvrtc.library() is not None
    name = hashlib.sha256(f"{has_nvrtc} {code}".encode()).hexdigest()[:24]
    library = folder / f"{name}.so"
    if not library.exists():
        if has_nvrtc:
            _, log = nvrtc.compile_source(source)
            assert log == "", f"{log}\n{source}"
        made = library.with_suffix(f".{os.getpid()}")
        # As NVRTC with --fmad=false, nothing is fused.
        command = [gcc, "-x", "c", "-", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-lm"]
        subprocess.run([*command, "-o", made], input=code, text=True, check=True)
        made.replace(library)
    function = ctypes.CDLL(str(library)).launch
    plain = {"double": ctypes.c_double, "long long": ctypes.c_longlong}
    function.argtypes = [ctypes.c_uint] * 2 + [plain.get(kind, ctypes.c_void_p) for kind in kinds]
    function.restype = None
    return function, list(kinds)


class RawKernel:
    """As CuPy's, but that what CuPy takes on trust is looked at: types, and that arrays are plain."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        assert name == "kernel"
        assert set(options) <= {"--fmad=false"}
        self.code = code

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]
    ) -> None:
        import cupy

        cupy.launches += 1
        if gcc is None:
            raise RuntimeError("the stand-in compiles kernels with gcc, which is not installed")
        function, kinds = compiled(self.code)
        values = []
        for kind, value in zip(kinds, args, strict=True):
            assert value.dtype == TYPES[kind], (kind, value.dtype)
            if isinstance(value, cupy.ndarray):
                # In one piece, or the last axis at least, as that of a bias in an arena
                assert value.flags.c_contiguous or value.strides[-1] == value.dtype.itemsize
                values.append(value._there.ctypes.data)
            else:
                values.append(value.item())
        function(*grid, *block, *values)
