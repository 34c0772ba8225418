"""What every data set must do, held against what training does with it."""

from typing import Any

from harness import registry
from harness.config import Config
from harness.data import load
from harness.recorders import Trained
from harness.testing.measures import not_finite
from harness.testing.suite import Check, Subject, Suite
from harness.training.prepare import prepare
from harness.training.segment import segment


def trained_on(data: Any, **options: Any) -> Trained:
    """A linear network on a data set after one epoch; options: of the Config."""
    source = load(data)
    # Small data sets get two batches, so that there is more than one step.
    settings: dict[str, Any] = {
        "batch": min(100, (len(source.x) + 1) // 2),
        "epochs": 1,
        "scale": "standardize",
    }
    if source.classes:
        units = len(source.classes)
    else:
        units = source.y.shape[1]
        settings |= {"loss": "squared_error", "metric": "rmse"}
    layers = [{"name": "dense", "units": units}]
    config = Config(layers=layers, data=data, update="sgd(0.01)", **settings, **options)
    prepared = prepare(config)
    state, records = segment(config, prepared)
    return Trained(config, prepared, state, records)


def dataset(suite: Suite, subject: Subject) -> None:
    """The checks of a data set."""
    suite.run(_CHECKS, subject)


def _differs_again(subject: Subject) -> bool:
    # The digest is over content: equal digests are equal data.
    first = registry.make("dataset", subject.spec)
    second = registry.make("dataset", subject.spec)
    return first.digest != second.digest


def _diverges(subject: Subject) -> float:
    (record,) = trained_on(subject.spec).records
    return not_finite(record.losses, *record.metrics.values())


_CHECKS = (
    Check(
        "the same each time",
        "every process makes its own: seed your generator, depend on no clock or order",
        _differs_again,
    ),
    Check(
        "a network trains on it",
        "one epoch of a linear network, standardized, must have a finite loss",
        _diverges,
    ),
)
