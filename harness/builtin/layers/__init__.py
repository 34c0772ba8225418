"""The built-in layers, one file each, and `mlp`, which turns sizes into a list of layers."""

from typing import Any

from harness import checks, registry
from harness.builtin.layers.activate import activate
from harness.builtin.layers.alpha_dropout import alpha_dropout
from harness.builtin.layers.batch_norm import batch_norm
from harness.builtin.layers.crelu import crelu
from harness.builtin.layers.dense import dense
from harness.builtin.layers.dropconnect import dropconnect
from harness.builtin.layers.dropout import dropout
from harness.builtin.layers.frozen import frozen
from harness.builtin.layers.gaussian_noise import gaussian_noise
from harness.builtin.layers.glu import geglu, glu, swiglu
from harness.builtin.layers.highway import highway
from harness.builtin.layers.layer_norm import layer_norm, rms_norm
from harness.builtin.layers.maxout import maxout
from harness.builtin.layers.prelu import prelu
from harness.builtin.layers.residual import residual
from harness.builtin.layers.scale import scale
from harness.errors import UsageError, argument

__all__ = [
    "activate",
    "alpha_dropout",
    "batch_norm",
    "crelu",
    "dense",
    "dropconnect",
    "dropout",
    "frozen",
    "gaussian_noise",
    "geglu",
    "glu",
    "highway",
    "layer_norm",
    "maxout",
    "mlp",
    "prelu",
    "residual",
    "rms_norm",
    "scale",
    "swiglu",
]


def mlp(
    sizes: Any,
    activation: Any = "relu",
    kinds: Any = None,
    init: Any = None,
    bias: Any = None,
    dropout: Any = None,
) -> list[registry.Spec]:
    """[784, 100, 50, 10] -> input(784), dense(100), relu, dense(50), relu, dense(10).

    kinds: one layer for all sizes or one for each size after the first: ["dense", "residual",
    "maxout(pieces=3)"]. The first size is None where it is as many as the data has features. A kind
    with a parameter `units` makes a layer of that size; a kind that wraps layers, such as residual,
    wraps dense and activation. The activation comes after every hidden layer; maxout and glu are
    good without ("identity"). init, bias: initializers for all layers (bias=False leaves biases
    out). dropout: a rate for the hidden layers, or a pair (input, hidden). UsageError where the
    lengths do not fit.
    """
    sizes = checks.plain(sizes)
    open_inputs = isinstance(sizes, list) and bool(sizes) and sizes[0] is None
    if open_inputs:
        sizes[0] = 1  # which stands for the features of the data
    if (
        not isinstance(sizes, list)
        or len(sizes) < 2
        or not all(checks.is_whole(s) and s > 0 for s in sizes)
    ):
        raise UsageError(
            f"{argument('sizes')} must be at least two whole numbers above 0 such as [784, 100, "
            f"10], got {sizes}; "
            "None as the first is as many as the data has features"
        )
    kinds = (
        [kinds or "dense"] * (len(sizes) - 1)
        if kinds is None or isinstance(kinds, str)
        else list(kinds)
    )
    if len(kinds) != len(sizes) - 1:
        raise UsageError(
            f"{argument('kinds')} must name one layer for each size after the first "
            f"({len(sizes) - 1}), "
            f"got {len(kinds)}"
        )
    dropout = checks.plain(dropout)
    rates = tuple(dropout) if isinstance(dropout, list) else (None, dropout)
    if len(rates) != 2:
        raise UsageError(
            f"{argument('dropout')} must be a rate or a pair (input, hidden), got {dropout!r}"
        )
    options = {k: v for k, v in {"init": init, "bias": bias}.items() if v is not None}
    layers: list[registry.Spec] = [] if open_inputs else [{"name": "input", "units": sizes[0]}]
    if rates[0] is not None:
        layers.append(registry.canonical("layer", {"name": "dropout", "rate": rates[0]}))
    for k, (kind, units) in enumerate(zip(kinds, sizes[1:], strict=True)):
        last = k == len(kinds) - 1
        made = registry.parse(kind) if isinstance(kind, str) else {"name": kind}
        entry = registry.find("layer", made["name"])
        sized = "units" in entry.parameters
        if not sized and not any(
            p.kind is p.VAR_POSITIONAL and entry.role(n) == "layer"
            for n, p in entry.parameters.items()
        ):
            raise UsageError(
                f"{argument('kinds')} must take units, like dense, or wrap layers, like residual; "
                f"{entry.signature} does neither"
            )
        body = [{**(made if sized else {"name": "dense"}), "units": units, **options}] + (
            [] if last else [activation]
        )
        layers += body if sized else [{**made, "*": body}]
        if rates[1] is not None and not last:
            layers.append({"name": "dropout", "rate": rates[1]})
    first = 0 if open_inputs else 1
    return [*layers[:first], *(registry.canonical("layer", each) for each in layers[first:])]
