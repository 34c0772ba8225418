"""The class Config: one network and how it is trained."""

import hashlib
import json
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness import registry
from harness.config import population, writing
from harness.config.normal import normal_form
from harness.errors import UsageError

# Counted up when a default changes its meaning: settings at their default are left out of what
# identifies a config.
SETTINGS = 1


@dataclass(frozen=True, kw_only=True, repr=False)
class Config:
    """One network and how it is trained.

    A config is frozen; `replace` makes another one. A spec is a name ("relu"), a call in a text
    ("sgd(0.5)"), a dict ({"name": "sgd", "learning_rate": 0.5}) or what a factory such as
    harness.mlp returns. The fields hold their normal form, which is the dict.

    Parameters
    ----------
    layers : list of specs
        The layers, such as mlp([784, 100, 10]) or ["dense(100)", "relu", "dense(10)"].
    data : spec or str, default "mnist"
        The data set: a spec, or the path of a file or a folder.
    loss : spec, default "softmax_cross_entropy"
        The loss that training lowers.
    update : spec, default "sgd"
        The update rule; its scalars may be schedules.
    batch : int or "full", default 100
        Examples per step. It may be larger than the training part, which is then one batch.
    drop_last : bool, default False
        Whether to leave out the last batch of an epoch where it has fewer examples than the others.
    epochs : int, default 3
        How often the training part is gone through.
    valid : float, default 0.2
        The share of the training set that is kept for validation, in [0, 1).
    seed : int, default 0
        Decides initial weights and masks, and the order of the data unless order_seed is given.
    split_seed : int, default 0
        Decides which examples are kept for validation.
    order_seed : int, optional
        Decides the order of the data in each epoch; None for `seed`.
    scale : str, default "auto"
        How features are scaled: "/255", "/256", "standardize", "none", or "auto", which is /255 for
        bytes, none where all numbers of the training part lie within [-1, 1], else standardize.
    missing : "mean", optional
        "mean" fills holes with the mean of the training part; None does what the data set's own
        spec says, which is to refuse them unless it says otherwise.
    metric : spec, default "accuracy"
        What a sweep optimizes, measured on the validation part.
    select : {"last", "best"}, default "last"
        The epoch whose weights are kept.
    patience : int, optional
        Stop after so many epochs without a lower validation loss; None for never.
    class_weight : "balanced" or dict, optional
        "balanced" weighs rare classes more; a dict such as {"yes": 5, "no": 1} has the weight of
        each class; None weighs all examples alike.
    film : spec, optional, default "film"
        The film of the weights; None for no film.
    recorders : list of specs, default ()
        Recorders beside the film, which run after the training.
    dtype : {"float32", "float64"}, default "float32"
        The type of all numbers of the network.
    eval_batch : int, default 1000
        Examples that are evaluated together. The last bits of an evaluation depend on it.
    device : {"cpu", "gpu"}, default "cpu"
        Where the network lives.
    inputs : int, optional
        The number of features; mlp([784, ...]) says it, None is whatever the data have.

    Raises
    ------
    UsageError
        For a field that holds no such value, and for names that nobody has registered.
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
        for name, value in normal_form(vars(self)).items():
            # The class is frozen, but for this.
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return writing.representation(self)

    def replace(self, **changes: Any) -> "Config":
        """A copy with some fields changed.

        Parameters
        ----------
        **changes
            Fields by name.
        """
        refuse_unknown_fields(changes)
        new = copy(self)
        # The other fields are in normal form already.
        for name, value in normal_form(changes).items():
            object.__setattr__(new, name, value)
        return new

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, so that equal configs are equal texts."""
        return json.dumps(vars(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, source: str | Path) -> "Config":
        """The config that a JSON object describes, such as `to_json` writes.

        Parameters
        ----------
        source
            JSON text, or the path of a JSON file.

        Raises
        ------
        UsageError
            Where it is no such object, and for unknown fields.
        """
        try:
            values = json.loads(_json_text(source))
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
        refuse_unknown_fields(values)
        # The one field without a default; Python's own message would be about a function.
        if "layers" not in values:
            raise UsageError(
                'a config must have the field \'layers\', such as [{"name": "dense", "units": 10}]'
            )
        return cls(**values)

    def settings(self) -> dict[str, Any]:
        """The fields that are not at their default.

        They are what identifies a config, so that a field that is added later changes nothing for
        those that leave it at its default.
        """
        return {name: value for name, value in vars(self).items() if value != _DEFAULTS[name]}

    def digest(self) -> str:
        """SHA-256 of the settings, 16 hexadecimal digits: equal for equal configs."""
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
        """The config as params of a run: short texts and numbers.

        An argument of the update rule has a name of its own, such as update.learning_rate.
        """
        return writing.params(self)

    def shape_key(self) -> str:
        """The hash of all that members of a population share: all but the scalars and the seeds."""
        return population.shape_key(self)


# The default of each field in its normal form. That of `data` stays a text, which no normal form
# equals, so that the data set is always among the settings.
_DEFAULTS: dict[str, Any] = {
    **{field.name: field.default for field in fields(Config)},
    **{name: {"name": getattr(Config, name)} for name in ("loss", "update", "metric", "film")},
    "recorders": [],
}


def refuse_unknown_fields(names: Iterable[str]) -> None:
    """Raises UsageError for a name that no field has, with the field that may be meant."""
    known = [field.name for field in fields(Config)]
    for name in names:
        if name not in known:
            raise UsageError(f"a config has no field {name!r}; {registry.suggest(name, known)}")


def _json_text(source: str | Path) -> str:
    if isinstance(source, str) and source.lstrip().startswith("{"):
        return source
    return Path(source).read_text()
