"""my_name: a layer.

Check it  harness check my_name.py
Use it    harness run --layer "dense(50)" --layer my_name --layer "dense(10)" --plugin my_name.py

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
        # A parameter, and where its gradient goes.
        s, ds = ctx.param("s", (1, I), {"name": "constant", "value": start})
        # Buffers (..., B, I)
        y = ctx.empty(I)
        dx = ctx.empty(I)
        product = ctx.empty(I)
        # Backward does not read y, so the layer above may write into it.
        ctx.output_is_scratch = True
        last_x = None

        def forward(x, train):  # x (..., B, I) is only read; train is False in evaluation
            nonlocal last_x
            last_x = x
            return xp.multiply(x, s, out=y), backward

        # dy (..., B, I), the gradient of y, may be overwritten. Returned is that of x.
        def backward(dy):
            xp.multiply(dy, last_x, out=product)
            # The sum over the batch is written, not added.
            xp.add.reduce(product, axis=-2, out=ds, keepdims=True)
            return xp.multiply(dy, s, out=dx)

        return forward, I  # and how many features come out

    return bind
