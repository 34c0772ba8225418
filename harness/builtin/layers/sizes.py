"""`mlp`, which turns sizes into a list of layers."""

from typing import Any

from harness import checks, registry
from harness.errors import UsageError, argument
from harness.registry import Entry, Spec


def mlp(
    sizes: Any,
    activation: Any = "relu",
    kinds: Any = None,
    init: Any = None,
    bias: Any = None,
    dropout: Any = None,
) -> list[Spec]:
    """[784, 100, 50, 10] -> input(784), dense(100), relu, dense(50), relu, dense(10)

    Parameters
    ----------
    sizes
        The number of features, then the units of each layer. None as the first is as many as the
        data has features.
    activation
        Comes after every hidden layer. maxout and glu are good without: "identity".
    kinds
        One layer for all sizes, or one for each size after the first: ["dense", "residual",
        "maxout(pieces=3)"]. A kind with a parameter `units` makes a layer of that size; a kind that
        wraps layers, such as residual, wraps dense and activation.
    init, bias
        Initializers for all layers; bias=False leaves biases out.
    dropout
        A rate for the hidden layers, or a pair (input, hidden).

    Returns
    -------
    list of spec
        The layers for a Config.

    Raises
    ------
    UsageError
        If the sizes are none, or the lengths do not fit.
    """
    sizes = checks.plain(sizes)
    inputs_are_open = isinstance(sizes, list) and bool(sizes) and sizes[0] is None
    if inputs_are_open:
        sizes[0] = 1  # stands for the features of the data
    _check_sizes(sizes)
    kinds = _one_for_each(kinds, len(sizes) - 1)
    input_rate, hidden_rate = _rates(dropout)
    options = {
        key: value for key, value in {"init": init, "bias": bias}.items() if value is not None
    }
    layers: list[Any] = []
    if input_rate is not None:
        layers.append({"name": "dropout", "rate": input_rate})
    for position, (kind, units) in enumerate(zip(kinds, sizes[1:], strict=True), start=1):
        is_hidden = position < len(kinds)
        after = [activation] if is_hidden else []
        layers += _layers_of(kind, {"units": units, **options}, after)
        if is_hidden and hidden_rate is not None:
            layers.append({"name": "dropout", "rate": hidden_rate})
    specs = [registry.canonical("layer", layer) for layer in layers]
    if not inputs_are_open:
        specs.insert(0, {"name": "input", "units": sizes[0]})
    return specs


def _check_sizes(sizes: Any) -> None:
    fits = (
        isinstance(sizes, list)
        and len(sizes) >= 2
        and all(checks.is_whole(size) and size > 0 for size in sizes)
    )
    if not fits:
        raise UsageError(
            f"{argument('sizes')} must be at least two whole numbers above 0 such as [784, 100, "
            f"10], got {sizes}; None as the first is as many as the data has features"
        )


def _one_for_each(kinds: Any, count: int) -> list[Any]:
    """A kind for each of so many sizes."""
    if kinds is None or isinstance(kinds, str):
        return [kinds or "dense"] * count
    kinds = list(kinds)
    if len(kinds) != count:
        raise UsageError(
            f"{argument('kinds')} must name one layer for each size after the first ({count}), got "
            f"{len(kinds)}"
        )
    return kinds


def _rates(dropout: Any) -> tuple[Any, Any]:
    """The rates of the input and of the hidden layers."""
    dropout = checks.plain(dropout)
    if not isinstance(dropout, list):
        return None, dropout
    if len(dropout) != 2:
        raise UsageError(
            f"{argument('dropout')} must be a rate or a pair (input, hidden), got {dropout!r}"
        )
    return dropout[0], dropout[1]


def _layers_of(kind: Any, options: Spec, after: list[Any]) -> list[Any]:
    """A layer of this kind and what comes after it, or a layer of this kind around both."""
    spec = registry.parse(kind) if isinstance(kind, str) else {"name": kind}
    entry = registry.find("layer", spec["name"])
    if "units" in entry.parameters:
        return [{**spec, **options}, *after]
    if not _wraps_layers(entry):
        raise UsageError(
            f"{argument('kinds')} must take units, like dense, or wrap layers, like residual; "
            f"{entry.signature} does neither"
        )
    return [{**spec, "*": [{"name": "dense", **options}, *after]}]


def _wraps_layers(entry: Entry) -> bool:
    return any(
        parameter.kind is parameter.VAR_POSITIONAL and entry.role(name) == "layer"
        for name, parameter in entry.parameters.items()
    )
