"""Of cuBLAS the batched products of the stand-in, which know addresses, leading dimensions and
strides, and nothing of arrays.
"""

import ctypes
from typing import Any

import numpy as np

HANDLE = 77
TYPES = {np.float32: ctypes.c_float, np.float64: ctypes.c_double}


def _matrix(dtype: Any, address: int, rows: int, columns: int, leading: int) -> np.ndarray:
    """A matrix of Fortran in raw memory; not a byte beyond its last number is seen."""
    assert leading >= max(1, rows), "cuBLAS: an invalid value"
    memory = (TYPES[dtype] * ((columns - 1) * leading + rows)).from_address(address)
    flat = np.frombuffer(memory, dtype)
    step = flat.itemsize
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), (step, leading * step))


def _gemm(dtype: Any) -> Any:
    size = np.dtype(dtype).itemsize

    def gemm(
        handle: int,
        transa: int,
        transb: int,
        m: int,
        n: int,
        k: int,
        alpha: int,
        A: int,
        lda: int,
        strideA: int,
        B: int,
        ldb: int,
        strideB: int,
        beta: int,
        C: int,
        ldc: int,
        strideC: int,
        batchCount: int,
    ) -> None:
        """C <- alpha op(A) op(B) + beta C, op(A) (m, k), op(B) (k, n), C (m, n)"""
        import cupy

        assert handle == HANDLE
        cupy.launches += 1
        factors = (TYPES[dtype].from_address(each).value for each in (alpha, beta))
        of_product, of_sum = factors
        for p in range(batchCount):
            shape_a = (k, m) if transa else (m, k)
            shape_b = (n, k) if transb else (k, n)
            a = _matrix(dtype, A + p * strideA * size, *shape_a, lda)
            b = _matrix(dtype, B + p * strideB * size, *shape_b, ldb)
            c = _matrix(dtype, C + p * strideC * size, m, n, ldc)
            made = of_product * ((a.T if transa else a) @ (b.T if transb else b))
            # With a factor of 0, cuBLAS does not read C, which may hold anything.
            c[...] = made + of_sum * c if of_sum else made

    return gemm


sgemmStridedBatched = _gemm(np.float32)
dgemmStridedBatched = _gemm(np.float64)
