"""What harness run does with a config: trains it epoch by epoch, and says what came of it."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.cli.terminal import echo
from harness.config import Config
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.model import Model
    from harness.training.state import Record, State
    from harness.trials.outcome import Outcome

NARROWEST = 10  # characters of a column of the table of epochs


@contextlib.contextmanager
def says_that_it_compiles() -> Iterator[None]:
    """Says once why nothing is printed yet, where a loop is compiled within the block."""
    from harness.expressions import compiling

    is_said = False

    def say() -> None:
        nonlocal is_said
        if not is_said:
            echo("compiling loops, once on this machine", err=True)
        is_said = True

    with compiling.told(say):
        yield


def train(config: Config, after_epoch: "Callable[[State], None] | None" = None) -> "Outcome":
    """Trains a network and prints a line for each epoch.

    Parameters
    ----------
    config
        What to train.
    after_epoch
        Called with the state after each epoch, outside of the clock of training.

    Returns
    -------
    The outcome of the last epoch, with the records of all.

    Raises
    ------
    UsageError
        If the network cannot be made of this config.
    """
    from harness.storage.clock import now_ms
    from harness.trials.job import Job, Trial
    from harness.trials.work import work

    begun = now_ms()
    metrics = ("train/loss", "valid/loss", f"valid/{config.metric['name']}")
    heads = ["epoch", *(metric.replace("/", " ") for metric in metrics), "seconds"]
    widths = [max(NARROWEST, len(head)) for head in heads]
    job = Job([Trial(0, config)], epochs=1)
    while True:
        (outcome,) = work(job)
        if outcome.refused:
            raise UsageError(outcome.refused)
        if outcome.error:
            break
        if job.trials[0].state is None:
            # The heads come after the first epoch, so that no table begins that cannot go on.
            _echo_row(heads, widths)
        _echo_row(_cells(outcome.records[-1], metrics), widths)
        has_trained = outcome.state is not None and outcome.bad_step is None
        if after_epoch is not None and has_trained:
            after_epoch(outcome.state or {})
        if outcome.ended:
            break
        job = Job([Trial(0, config, outcome.state, outcome.records)], epochs=1)
    # Each segment has a start of its own, and the run began with the first.
    outcome.start_ms = begun
    return outcome


def _cells(record: "Record", metrics: Sequence[str]) -> list[str]:
    """The numbers of an epoch as the table of epochs shows them."""
    cells = [str(record.epoch)]
    for metric in metrics:
        cell = "-"
        if metric in record.metrics:
            cell = f"{record.metrics[metric]:.4f}"
        cells.append(cell)
    cells.append(f"{sum(record.seconds.values()):.2f}")
    return cells


def _echo_row(cells: list[str], widths: list[int]) -> None:
    echo("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))


def model_of(outcome: "Outcome") -> "Model":
    """The trained network of an outcome, to score and to save."""
    from harness.model import model_of_run

    return model_of_run(outcome.config, outcome.state or {}, outcome.records)


def scores_on_test_part(model: "Model") -> dict[str, float]:
    """Scores on the test part: the config's metric, and the accuracy where there are classes."""
    own = model.config.metric["name"]
    # The config's own metric may have arguments, which its name alone does not say.
    scores = {f"test/{own}": model.score()}
    if model.classes is not None and own != "accuracy":
        scores["test/accuracy"] = model.score(metric="accuracy")
    return scores


def summary(outcome: "Outcome") -> str:
    """The numbers at the end of a run, in a line, and below it what was noted."""
    metrics = outcome.metrics
    parts = []
    if outcome.value is not None:
        config = outcome.config
        parts.append(f"valid {config.metric['name']} {outcome.value:.4f} ({config.select} epoch)")
    for name, value in metrics.items():
        if name.startswith("test/"):
            parts.append(f"{name.replace('/', ' ')} {value:.4f}")
    parts.append(
        f"{metrics['time/train_s']:.2f} s of training, {metrics['time/step_us']:.0f} us a step"
    )
    notes = (outcome.notes.get("harness.stopped"), outcome.notes.get("harness.advice"))
    return "\n".join([", ".join(parts), *filter(None, notes)])
