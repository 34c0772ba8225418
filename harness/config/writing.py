"""A config as text: how one would write it, and what a table of runs shows of it."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness import checks, registry
from harness.registry.known import Spec
from harness.registry.specs import text

if TYPE_CHECKING:
    from harness.config.config import Config

_PLAIN = (
    "batch",
    "drop_last",
    "epochs",
    "valid",
    "seed",
    "split_seed",
    "scale",
    "select",
    "dtype",
    "device",
    "eval_batch",
)
# These are off in most runs, and a column of None says nothing.
_UNLESS_NONE = ("patience", "order_seed")


def brief(written: str, most: int = 400) -> str:
    """A text on one line and not too long, its middle left out.

    Parameters
    ----------
    written
        The text.
    most
        The number of characters from which on it is too long.
    """
    # Texts in a spec may hold line breaks.
    line = " ".join(written.split())
    if len(line) <= most:
        return line
    return f"{line[: most // 2]} ... {line[-most // 4 :]}"


def representation(config: "Config") -> str:
    """The settings that are not at their default, as one would write them."""
    settings = [
        f"{name}={brief(repr(_written(value)))}" for name, value in config.settings().items()
    ]
    return f"Config({', '.join(settings)})"


def params(config: "Config") -> dict[str, str | int | float]:
    """The config as params of a run; see `Config.flat`."""
    flat: dict[str, Any] = {
        "layers": " > ".join(map(text, config.layers)),
        # In the order of the layers, each of them once.
        "activations": ", ".join(dict.fromkeys(_activations(config.layers))) or "none",
        "update": text(config.update),
    }
    flat |= _rule_arguments(config.update)
    for name in ("data", "loss", "metric"):
        flat[name] = _written(getattr(config, name))
    flat |= {name: getattr(config, name) for name in _PLAIN}
    for name in _UNLESS_NONE:
        value = getattr(config, name)
        if value is not None:
            flat[name] = value
    if isinstance(config.class_weight, dict):
        weights = [f"{label}={weight!r}" for label, weight in config.class_weight.items()]
        flat["class_weight"] = ", ".join(weights)
    elif config.class_weight is not None:
        flat["class_weight"] = config.class_weight
    return flat


def _written(value: Any) -> Any:
    """A value of a config as one writes it: specs as text."""
    if isinstance(value, list):
        return [_written(part) for part in value]
    if isinstance(value, dict) and "name" in value:
        return text(value)
    return value


def _activations(layers: list[Spec]) -> Iterator[str]:
    """The activations among layers, those inside of other layers included."""
    for layer in layers:
        if registry.find("layer", layer["name"]).kind == "activation":
            yield text(layer)
        for value in layer.values():
            if isinstance(value, list):
                yield from _activations([part for part in value if isinstance(part, dict)])


def _rule_arguments(update: Spec) -> dict[str, Any]:
    """The arguments of an update rule, or of each rule of a composition, by a name with dots.

    update.learning_rate; update.adam.learning_rate within a composition; and with the place of the
    rule, as in update.scale.2.factor, where two rules of a composition have one name.
    """
    rules = update.get("rules", [update])
    count = Counter(rule["name"] for rule in rules)
    arguments: dict[str, Any] = {}
    for place, rule in enumerate(rules):
        start = "update"
        # The rules of a composition have arguments of the same names.
        if rule is not update:
            start += f".{rule['name']}"
        if count[rule["name"]] > 1:
            start += f".{place}"
        for name, value in rule.items():
            if name != "name":
                arguments[f"{start}.{name}"] = _param(value)
    return arguments


def _param(value: Any) -> str | int | float:
    """Numbers and truth values as they are, anything else as text."""
    if isinstance(value, bool) or checks.is_real(value):
        return value
    return text(value)
