"""my_name: a loss.

Check it  harness check my_name.py
Use it    harness run --data friedman1 --loss my_name --metric rmse --update adam \
              --plugin my_name.py

Shapes: ... is nothing for one network and (P,) for a population, B the batch, O the outputs.
"""

from harness import Scalar, loss


@loss("my_name")
def my_name(width: Scalar = 1.0):
    """L = mean over the batch of sum_k width^2 (sqrt(1 + (d_k / width)^2) - 1), d = y - t"""

    def bind(ctx, O):
        # Runs when a network is built. All arrays are made here.
        xp = ctx.xp  # NumPy, or CuPy on a GPU
        dy = ctx.empty(O)
        root = ctx.empty(O)
        values = ctx.empty(1)[..., 0]
        w = ctx.scalar(width)  # the width of each member (..., 1, 1)
        share = ctx.dtype.type(1 / ctx.batch)

        def forward(y, t):  # outputs (..., B, O) and targets (..., B, O) or (B, O), only read
            # and returns the loss of each example (..., B)
            xp.subtract(y, t, out=dy)
            xp.divide(dy, w, out=root)
            xp.multiply(root, root, out=root)
            xp.add(root, 1.0, out=root)
            xp.sqrt(root, out=root)
            xp.divide(dy, root, out=dy)  # the slope, d / sqrt(1 + (d / w)^2)
            xp.subtract(root, 1.0, out=root)
            xp.multiply(root, w, out=root)
            xp.multiply(root, w, out=root)
            return xp.add.reduce(root, axis=-1, out=values), backward

        def backward():  # the gradient (..., B, O) of the mean over the batch
            return xp.multiply(dy, share, out=dy)

        return forward, lambda y: y  # predict: outputs -> predictions, in place

    return bind
