"""NVRTC, the compiler of CUDA that CuPy calls, without CuPy and without a GPU.

It is found where `pip install nvidia-cuda-nvrtc-cu12` puts it (or -cu13).
"""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

# What CuPy 14 adds to the options of a RawKernel; the card is one of the oldest that CUDA 13 knows.
OPTIONS = ("--fmad=false", "--std=c++14", "-ftz=true", "-arch=sm_75")


MISSING = "NVRTC is not installed; pip install nvidia-cuda-nvrtc-cu12"


@cache
def library() -> Any:
    """The library, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else spec.submodule_search_locations or []
    for folder in folders:
        for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*")):
            return ctypes.CDLL(str(path))
    return None


def compile_source(source: str) -> tuple[bytes, str]:
    """The machine code of a source, and what the compiler says to it; RuntimeError if it refuses."""
    nvrtc = library()
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = (ctypes.c_char_p * len(OPTIONS))(*(option.encode() for option in OPTIONS))
    failed = nvrtc.nvrtcCompileProgram(program, len(OPTIONS), options)
    log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
    if failed:
        raise RuntimeError(log.decode())
    code = _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code, log.rstrip(b"\0").decode()


def _text(size_of: Any, get: Any, program: Any) -> bytes:
    size = ctypes.c_size_t()
    size_of(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    get(program, buffer)
    return buffer.raw
