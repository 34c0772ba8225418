"""What an installed package registers."""

import numpy as np

from harness import Scalar, activation, layer


@activation("packaged_bend")
def packaged_bend(z, width: Scalar = 1.0):
    """f(z) = z / sqrt(1 + (z / width)^2)"""
    return z / np.sqrt(1.0 + (z / width) ** 2)


@layer("packaged_half")
def packaged_half():
    """y = x / 2"""

    def bind(ctx, I):
        y = ctx.empty(I)
        dx = ctx.empty(I)
        xp = ctx.xp
        ctx.output_is_scratch = True

        def backward(dy):
            return xp.multiply(dy, 0.5, out=dx)

        return (lambda x, train: (xp.multiply(x, 0.5, out=y), backward)), I

    return bind
