"""The instructions that functions of one float32 in a compiled loop are made of.

Each becomes one instruction of the processor, or a few, and LLVM turns a loop over them into one
over vectors. What is fused is written as `fma`, and nothing else is: a product and a sum that the
compiler may fuse, or not, would give results that depend on whether a value lies in the body of a
vectorized loop or in its tail, and on what stands around the function.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# LLVM may neither fuse nor reorder what a function says; see above.
compiled = njit(error_model="numpy", fastmath=False, cache=False, forceinline=True)

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)


def _call(name: str, builder: Any, arguments: Any) -> Any:
    """A call of the LLVM intrinsic of this name for the type of the arguments."""
    kind = arguments[0].type
    function = builder.module.declare_intrinsic(
        f"llvm.{name}", [kind], ir.FunctionType(kind, [kind] * len(arguments))
    )
    return builder.call(function, arguments)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> tuple[Any, Callable[..., Any]]:
    """a * b + c with one rounding, in float32 or float64"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call("fma", builder, arguments)

    return a(a, b, c), generate


@intrinsic
def rint(typing: Any, x: Any) -> tuple[Any, Callable[..., Any]]:
    """The integer nearest to x, and the even one of two, as a float"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call("rint", builder, arguments)

    return x(x), generate


@intrinsic
def magnitude(typing: Any, x: Any) -> tuple[Any, Callable[..., Any]]:
    """|x|"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call("fabs", builder, arguments)

    return x(x), generate


@intrinsic
def with_sign(typing: Any, x: Any, sign: Any) -> tuple[Any, Callable[..., Any]]:
    """|x| with the sign of another number"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call("copysign", builder, arguments)

    return x(x, sign), generate


@intrinsic
def bits_of(typing: Any, x: Any) -> tuple[Any, Callable[..., Any]]:
    """The bits of a float32 as an int32"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _INT)

    return types.int32(types.float32), generate


@intrinsic
def from_bits(typing: Any, bits: Any) -> tuple[Any, Callable[..., Any]]:
    """The float32 that has these bits"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _FLOAT)

    return types.float32(types.int32), generate


@intrinsic
def power_of_two(typing: Any, k: Any) -> tuple[Any, Callable[..., Any]]:
    """2^k in float32, for an integer k from -126 to 127 that is given as a float32

    Shifted so far up that its last bit is worth 1, k + 127 stands in the lowest bits of a float32.
    There it is the exponent to be, and is moved to where the exponent belongs.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        shifted = builder.fadd(arguments[0], ir.Constant(_FLOAT, 1.5 * 2.0**23 + 127))
        return builder.bitcast(
            builder.shl(builder.bitcast(shifted, _INT), ir.Constant(_INT, 23)), _FLOAT
        )

    return types.float32(types.float32), generate


@intrinsic
def polynomial(typing: Any, x: Any, coefficients: Any) -> tuple[Any, Callable[..., Any]]:
    """The polynomial with these coefficients, from the constant term on, by Horner's rule"""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, packed = arguments
        terms = [builder.extract_value(packed, i) for i in range(len(signature.args[1]))]
        result = terms.pop()
        while terms:
            result = _call("fma", builder, [result, x, terms.pop()])
        return result

    return x(x, coefficients), generate


def constants(*numbers: float) -> tuple[np.float32, ...]:
    """Numbers in float32, as a compiled function can hold them."""
    return tuple(np.float32(number) for number in numbers)


def wide_constants(*numbers: float) -> tuple[np.float64, ...]:
    """Numbers in float64, as a compiled function can hold them."""
    return tuple(np.float64(number) for number in numbers)
