"""RawKernel of the stand-in: gcc compiles the source of a kernel, and its threads run in turn.

Memory that the threads of a block share is static here. A barrier hands over to the next thread of the
block, and comes back when all of them have come to one or have ended.
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
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#define __global__
#define __device__ static
#define __shared__ static
#define __syncthreads() do { if (!_setjmp(threads[threadIdx.x])) _longjmp(block, 1); } while (0)
static struct { unsigned x; } blockIdx, threadIdx, blockDim, gridDim;
static jmp_buf block, threads[1024];
static bool ended[1024];
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
ONE_BY_ONE = """
{statics}
void launch(unsigned blocks, unsigned count, {declared}) {{
    blockDim.x = count;
    gridDim.x = blocks;
    {assignments}
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < count; threadIdx.x++) kernel({names});
}}
"""
# Where they wait for each other each has a stack of its own, for good. All go on to their next
# barrier, until all have ended.
IN_TURN = """
{statics}
static ucontext_t maker, beginning[1024];
static char stacks[1024][16384];
static void run(void) {{
    // The first time it goes back to who has made it, and then it waits like all others.
    if (!_setjmp(threads[threadIdx.x])) setcontext(&maker);
    for (;;) {{
        kernel({names});
        ended[threadIdx.x] = true;
        __syncthreads();
    }}
}}
void launch(unsigned blocks, unsigned count, {declared}) {{
    static unsigned made, waiting;
    blockDim.x = count;
    gridDim.x = blocks;
    {assignments}
    for (; made < count; made++) {{
        threadIdx.x = made;
        getcontext(&beginning[made]);
        beginning[made].uc_stack.ss_sp = stacks[made];
        beginning[made].uc_stack.ss_size = sizeof stacks[made];
        makecontext(&beginning[made], run, 0);
        swapcontext(&maker, &beginning[made]);
    }}
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {{
        memset(ended, 0, sizeof ended);
        do {{
            waiting = 0;
            for (threadIdx.x = 0; threadIdx.x < count; threadIdx.x++) {{
                if (!_setjmp(block)) _longjmp(threads[threadIdx.x], 1);
                if (!ended[threadIdx.x]) waiting++;
            }}
            // As in CUDA, a barrier is one for all: to end before it is a fault of the kernel.
            if (waiting && waiting != count) abort();
        }} while (waiting);
    }}
}}
"""
gcc = shutil.which("gcc")


@cache
def compiled(source: str) -> tuple[Any, list[str]]:
    """The function launch(blocks, threads, ...) of a source, and the types of its arguments."""
    head = re.search(r'extern "C" __global__ void kernel\(\s*(.*?)\)', source, re.DOTALL)
    assert head is not None, source
    kinds, names = zip(*(each.rsplit(" ", 1) for each in re.split(r",\s+", head[1])), strict=True)
    run = IN_TURN if "__syncthreads" in source else ONE_BY_ONE
    launch = run.format(
        declared=", ".join(f"{kind} {name}_given" for kind, name in zip(kinds, names, strict=True)),
        statics=" ".join(f"static {kind} {name};" for kind, name in zip(kinds, names, strict=True)),
        assignments=" ".join(f"{name} = {name}_given;" for name in names),
        names=", ".join(names),
    )
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
        # As NVRTC with --fmad=false, nothing is fused. Fortified, a jump to another stack is refused.
        command = [gcc, "-x", "c", "-", "-O1", "-ffp-contract=off", "-U_FORTIFY_SOURCE"]
        command += ["-shared", "-fPIC", "-lm"]
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
                assert value.flags.c_contiguous or (
                    value.strides[-1] == value.dtype.itemsize or value.shape[-1] == 1
                )
                values.append(value._there.ctypes.data)
            else:
                values.append(value.item())
        function(*grid, *block, *values)
