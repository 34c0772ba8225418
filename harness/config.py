"""Config: everything that decides the outcome of one training run, as plain data. JSON in and
out.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness import checks, registry
from harness.errors import UsageError, argument
from harness.registry.known import Spec
from harness.registry.specs import canonical, text

# Counted up when a default changes its meaning: settings at their default are left out of what
# identifies a config
SETTINGS = 1

_KINDS = {"update": "update_rule", "film": "recorder"}

_SHARE = "must be the share of the training set kept for validation, in [0, 1)"
_CHOICES: dict[str, tuple[Any, ...]] = {
    "scale": ("auto", "/255", "/256", "standardize", "none"),
    "missing": (None, "mean"),
    "select": ("last", "best"),
    "dtype": ("float32", "float64"),
    "device": ("cpu", "gpu"),
}
# Whole numbers: the least that each may be, and what else it may be
_WHOLE: dict[str, tuple[int, Any]] = {
    "batch": (1, "full"),
    "epochs": (1, ...),
    "eval_batch": (1, ...),
    "seed": (0, ...),
    "split_seed": (0, ...),
    "order_seed": (0, None),
    "patience": (1, None),
    "inputs": (1, None),
}


@dataclass(frozen=True, kw_only=True, repr=False)
class Config:
    """One network and how it is trained.

    layers: specs, names or products, such as mlp([784, 100, 10]) or [dense(100), relu(),
    dense(10)]. data: a data set's spec. valid: the share split off for validation, by split_seed.
    scale: "/255", "/256", "standardize", "none", or "auto" (/255 for bytes, none where all numbers
    of the training part lie within [-1, 1], else standardize). missing: "mean" to fill holes with
    the mean of the training part; None as the data set's own spec says, which is to refuse them.
    update: an update rule; its scalars may be schedules. batch: examples per step, or "full".
    drop_last: leave out the last batch of an epoch where it has fewer examples than the others;
    else it is trained on, and a batch may be larger than the training part. seed: initial weights,
    masks and data order (the order apart by order_seed). metric: what a sweep optimizes, measured
    on the validation part. select: keep the weights of the "last" or of the "best" epoch. patience:
    stop after so many epochs without a lower validation loss. class_weight: None, "balanced" to
    weigh rare classes more, or a dict such as {"yes": 5, "no": 1} with the weight of each class.
    film: a film spec, or None. recorders: further recorders. dtype: "float32" or "float64".
    eval_batch: examples that are evaluated together. device: "cpu" or "gpu". inputs: the features,
    known from mlp(...).
    """

    layers: Any
    data: Any = "mnist"
    loss: Any = "softmax_cross_entropy"
    update: Any = "sgd"
    batch: Any = 100
    drop_last: bool = False
    epochs: int = 3
    valid: float = 0.2
    seed: int = 0
    split_seed: int = 0
    order_seed: int | None = None
    scale: str = "auto"
    missing: str | None = None
    metric: Any = "accuracy"
    select: str = "last"
    patience: int | None = None
    class_weight: Any = None
    film: Any = "film"
    recorders: Any = ()
    dtype: str = "float32"
    eval_batch: int = 1000
    device: str = "cpu"
    inputs: int | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        if isinstance(self.layers, str | dict) or not hasattr(self.layers, "__iter__"):
            raise UsageError(
                f"layers must be a list such as mlp([784, 100, 10]), got {self.layers!r}"
            )
        layers = list(self.layers)
        if layers and isinstance(layers[0], dict) and layers[0].get("name") == "input":
            put("inputs", layers.pop(0)["units"])
        if not layers:
            raise UsageError(
                "layers must hold at least one layer, got none; give a list such as "
                "mlp([784, 100, 10])"
            )
        put("layers", [canonical("layer", each) for each in layers])
        put(
            "data",
            self.data
            if isinstance(self.data, str) and not _is_spec(self.data)
            else canonical("dataset", self.data),
        )
        put("loss", canonical("loss", self.loss))
        put("update", canonical("update_rule", self.update))
        put("metric", canonical("metric", self.metric))
        put("film", None if self.film is None else canonical("recorder", self.film))
        put("recorders", [canonical("recorder", each) for each in self.recorders])
        for each in (self.film, *self.recorders):
            if each is not None:
                # Which refuses wrong settings now, not after the training
                registry.make("recorder", each)
        for name, (least, other) in _WHOLE.items():
            value = checks.plain(getattr(self, name))
            if other is ... or value != other:
                value = checks.whole(
                    argument(name), value, least, otherwise="" if other is ... else f" or {other!r}"
                )
            put(name, value)
        put("valid", checks.share(argument("valid"), self.valid, _SHARE))
        put("drop_last", checks.truth("drop_last", self.drop_last))
        for name, allowed in _CHOICES.items():
            put(name, checks.one_of(argument(name), getattr(self, name), allowed))
        put("class_weight", _class_weight(self.class_weight))

    def __repr__(self) -> str:
        """The settings that are not at their default, as one would write them; long ones with their
        middle left out.
        """
        shown = [
            f"{name}={brief(repr(_written(value)))}" for name, value in self.settings().items()
        ]
        return f"Config({', '.join(shown)})"

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed."""
        return replace(self, **changes)

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, so that equal configs are equal texts."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, source: str | Path) -> "Config":
        """From JSON text or a path to a JSON file; unknown fields are refused."""
        try:
            raw = (
                Path(source).read_text()
                if isinstance(source, Path) or not source.lstrip().startswith("{")
                else source
            )
            values = json.loads(raw)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"a config must be JSON text or a path to a JSON file: {error}"
            ) from None
        except RecursionError:
            raise UsageError(registry.TOO_DEEP) from None
        if not isinstance(values, dict):
            raise UsageError(
                f'a config must be a JSON object such as {{"layers": [...]}}, got {values!r:.60}'
            )
        names = [f.name for f in fields(cls)]
        for key in values:
            if key not in names:
                raise UsageError(f"a config has no field {key!r}; {registry.suggest(key, names)}")
        if "layers" not in values:
            raise UsageError(
                'a config must have the field \'layers\', such as [{"name": "dense", "units": 10}]'
            )
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """The fields that are not at their default: one that is added later changes nothing for
        those that leave it.
        """
        default = {f.name: f.default for f in fields(self)}
        for name in ("data", "loss", "update", "metric", "film"):
            kind = _KINDS.get(name, name)
            if name != "data":
                default[name] = canonical(kind, default[name])
        default["recorders"] = []
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    def digest(self) -> str:
        """SHA-256 of the settings as canonical JSON, 16 hexadecimal digits: equal for equal
        configs.
        """
        text = json.dumps([SETTINGS, self.settings()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def names(self) -> frozenset[str]:
        """The names of all plugins that the config uses, wherever they stand in its specs."""
        specs = (
            self.layers,
            self.data,
            self.loss,
            self.update,
            self.metric,
            self.film,
            self.recorders,
        )
        return registry.names_in(specs)

    def flat(self) -> dict[str, str | int | float]:
        """The config as MLflow params: short text and numbers, nested arguments as
        update.learning_rate.
        """
        flat: dict[str, Any] = {
            "layers": " > ".join(text(each) for each in self.layers),
            "activations": ", ".join(dict.fromkeys(_activations(self.layers))) or "none",
            "update": text(self.update),
        }
        rules = self.update.get("rules", [self.update])
        often = Counter(rule["name"] for rule in rules)
        for place, rule in enumerate(rules):
            start = "update" if rule is self.update else f"update.{rule['name']}"
            if often[rule["name"]] > 1:  # two of one name in a composition
                start += f".{place}"
            flat |= {
                f"{start}.{k}": v if isinstance(v, int | float) else text(v)
                for k, v in rule.items()
                if k != "name"
            }
        for name in ("data", "loss", "metric"):
            flat[name] = (
                text(getattr(self, name))
                if isinstance(getattr(self, name), dict)
                else getattr(self, name)
            )
        plain = (
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
        flat |= {name: getattr(self, name) for name in plain}
        flat |= {n: v for n in ("patience", "order_seed") if (v := getattr(self, n)) is not None}
        if isinstance(self.class_weight, dict):
            flat["class_weight"] = ", ".join(
                f"{label}={weight!r}" for label, weight in self.class_weight.items()
            )
        elif self.class_weight is not None:
            flat["class_weight"] = self.class_weight
        return flat

    def shape_key(self) -> str:
        """The hash of all that members of a population share: everything but the scalars and the
        seeds.
        """
        shared = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("seed", "order_seed")
        }
        shared["layers"] = [registry.shape("layer", each) for each in self.layers]
        shared["update"] = registry.shape("update_rule", self.update)
        shared["loss"] = registry.shape("loss", self.loss)
        shared["own_order"] = self.order_seed is None
        return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:16]


def _class_weight(value: Any) -> Any:
    """None, "balanced", or the weight of each class by its name, in the order of the names."""
    if value is None or (isinstance(value, str) and value == "balanced"):
        return value
    if not isinstance(value, Mapping) or not value:
        raise UsageError(
            "class_weight must be None, 'balanced' or a dict with the weight of each class, such "
            "as "
            f"{{'yes': 5, 'no': 1}}, got {checks.shown(value)}"
        )
    weights: dict[str, float] = {}
    for label, weight in value.items():
        label = checks.plain(label)
        name = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
        if name in weights:
            raise UsageError(
                f"class_weight must name every class once, got {name!r} twice; leave one out"
            )
        weights[name] = checks.real(
            f"class_weight of {name!r}", weight, lambda w: w >= 0, "must be 0 or above"
        )
    if not any(weights.values()):
        raise UsageError(
            "class_weight must have a weight above 0, got only zeros; give some class a weight"
        )
    return dict(sorted(weights.items()))


def _written(value: Any) -> Any:
    """A value of a config as one writes it: specs as text."""
    if isinstance(value, list):
        return [_written(each) for each in value]
    return text(value) if isinstance(value, dict) and "name" in value else value


def brief(written: str, most: int = 400) -> str:
    """A text on one line and not too long, its middle left out."""
    line = " ".join(written.split())
    return line if len(line) <= most else f"{line[: most // 2]} ... {line[-most // 4 :]}"


def _is_spec(value: str) -> bool:
    """Whether a data set is named by a spec ("mnist", "csv(path='a.csv')") rather than by a
    path.
    """
    known = value in {entry.name for entry in registry.entries("dataset")}
    return (
        known or value.rstrip().endswith(")") or (value.isidentifier() and not Path(value).is_dir())
    )


def _activations(layers: list[Spec]) -> list[str]:
    found: list[str] = []
    for each in layers:
        if registry.find("layer", each["name"]).kind == "activation":
            found.append(text(each))
        for value in each.values():
            if isinstance(value, list):
                found += _activations([v for v in value if isinstance(v, dict)])
    return found


def stack(configs: list[Config]) -> Config:
    """Configs of one shape_key -> one config whose scalars are lists, one value per member. Seeds
    stay with the members.
    """
    keys = {c.shape_key() for c in configs}
    if len(keys) != 1:
        raise UsageError(
            f"members of a population must share everything but scalars and seeds, got {len(keys)} "
            f"different shapes"
        )
    stacked = replace(configs[0])
    columns = zip(*(c.layers for c in configs), strict=True)
    object.__setattr__(
        stacked, "layers", [registry.merge("layer", list(column)) for column in columns]
    )
    for name, kind in (("update", "update_rule"), ("loss", "loss")):
        object.__setattr__(stacked, name, registry.merge(kind, [getattr(c, name) for c in configs]))
    return stacked
