"""my_name: a layer.

Check it    harness check my_name.py
Use it      harness run --layer "dense(50)" --layer my_name --layer "dense(10)" --plugin my_name.py

Shapes: ... is nothing for one network and (P,) for a population, B the batch, I the features that
come in.
"""

from harness import layer


@layer("my_name")
def my_name(start: float = 1.0):
    """y = x * s, s one learned number for each feature, which begins at `start`"""

    def bind(ctx, I):
        # Runs when a network is built, once for training and once for evaluation. All arrays are
        # made here.
        xp = ctx.xp  # NumPy, or CuPy on a GPU
        # A parameter, and where its gradient goes
        s, ds = ctx.param("s", (1, I), {"name": "constant", "value": start})
        y, dx, product = ctx.empty(I), ctx.empty(I), ctx.empty(I)  # buffers (..., B, I)
        # Backward does not read y, so the layer above may write into it
        ctx.output_is_scratch = True
        seen = [None]

        def forward(x, train):  # x (..., B, I) is only read; train is False in evaluation
            seen[0] = x
            return xp.multiply(x, s, out=y), backward

        # Dy (..., B, I), the gradient of y, may be overwritten; returns that of x
        def backward(dy):
            xp.multiply(dy, seen[0], out=product)
            # Written, not added: the sum over the batch
            xp.add.reduce(product, axis=-2, out=ds, keepdims=True)
            return xp.multiply(dy, s, out=dx)

        return forward, I  # and how many features come out

    return bind
