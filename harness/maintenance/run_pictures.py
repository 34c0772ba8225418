"""The pictures of a logged run: of the network that was kept, or of one that is trained again."""

from collections.abc import Callable

from harness.maintenance.logged import config_of
from harness.maintenance.models import find_network, is_saved_model
from harness.model import Model, load_saved, model_in
from harness.model.courses import trained_measured
from harness.model.pictures import pictures_of_model
from harness.tracking.recorded_run import Recorded, recorded

# Seconds of training up to which a network is trained once more without being asked for it, so that
# its pictures show how its weights have spread.
QUICK = 10.0


def pictures_of_run(
    reference: str, over_time: bool | None, say: Callable[[str], None]
) -> dict[str, bytes]:
    """Draws all pictures of a run.

    Parameters
    ----------
    reference : str
        A run id, the name of a run, "SWEEP#12", a sweep or a comparison for its best network, or
        the path of a saved model.
    over_time : bool or None
        Whether to train the network once more in order to show how its weights and activations
        have spread; None for whether that takes `QUICK` seconds at most.
    say : callable
        Called with each sentence of what is done.

    Returns
    -------
    dict of bytes by name
        PNGs, such as "confusion.png".

    Raises
    ------
    UsageError
        If there is no such run, its data are not there any more, or a plugin that it needs is not
        loaded.
    """
    if is_saved_model(reference):
        return _of_model(load_saved(reference), over_time, say)
    network = find_network(reference)
    if network is not None:
        return _of_model(model_in(network, f"the network of {reference!r}"), over_time, say)
    run = recorded(reference)
    say(f"the network of {reference!r} was not kept, so it is trained again")
    model, courses = trained_measured(config_of(run))
    if not _is_as_recorded(model, run):
        say(f"trained again it departs from what was logged: harness verify {reference!r}")
    return pictures_of_model(model, courses)


def _of_model(model: Model, over_time: bool | None, say: Callable[[str], None]) -> dict[str, bytes]:
    seconds = seconds_of(model)
    if over_time is None:
        over_time = seconds <= QUICK
        if not over_time:
            say(
                "how its weights have spread is left out: for that it would be trained again, "
                f"which took {seconds:.0f} s; --over-time does it"
            )
    return pictures_of_model(model, over_time=over_time)


def seconds_of(model: Model) -> float:
    """The seconds that the training of a model has taken."""
    epochs = ([value for key, value in epoch.items() if _is_time(key)] for epoch in model.history)
    return sum(map(sum, epochs))


def _is_time(key: str) -> bool:
    return key.startswith("time/epoch_")


def _is_as_recorded(model: Model, run: Recorded) -> bool:
    """Whether a network that was trained again has the metrics that were logged."""
    if "harness.seeds" in run.tags:
        # These are the means of several networks.
        return True
    for epoch in model.history:
        for key, values in run.metrics.items():
            if epoch["epoch"] in values and epoch.get(key) != values[epoch["epoch"]]:
                return False
    return True
