"""The film of a trial that has kept none, or another one: the trial is trained again."""

from typing import Any

import numpy as np

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.films.named import Named
from harness.films.wanted import Wanted
from harness.maintenance.logged import config_of
from harness.maintenance.verify import Say, departure_of_course, train_again
from harness.pictures.reel import Reel, reel_of
from harness.recorders.report import Trained
from harness.recorders.told import story_of_trained
from harness.tracking.recorded_run import recorded
from harness.training.prepare import prepare

# The settings of a film that say at which steps it has frames.
_STEPS = ("frames", "every", "steps", "spacing")


def reel_again(named: Named, wanted: Wanted, say: Say) -> Reel:
    """The reel of a run that is trained again, to the same metrics and weights.

    Parameters
    ----------
    named : Named
        The run.
    wanted : Wanted
        What its film shows.
    say : callable
        Takes a sentence before it is trained.

    Raises
    ------
    UsageError
        If it cannot be trained here, comes to another result, or has nothing to film.
    """
    run = recorded(named.run_id)
    was = config_of(run)
    config = was.replace(film=film_spec(was, wanted))
    outcome = train_again(run, config, say)
    if departure := departure_of_course(run, outcome):
        raise UsageError(
            f"the film of {run.name!r} was not kept, and trained again it departs {departure}, so "
            "that it would be the film of another network; harness verify says what differs"
        )
    assert outcome.state is not None  # it has not failed
    if not outcome.state["film/frames"]:
        raise UsageError(
            f"{run.name!r} can have no film, because no trained matrix of its network takes the "
            "inputs; leave it out"
        )
    data = prepare(config)
    story = story_of_trained(Trained(config, data, outcome.state, outcome.records))
    shape = None if story.is_own_matrix else data.source.shape
    snapshots = np.stack(outcome.state["film/frames"])
    return reel_of(named.title, snapshots, story, shape, **wanted.of_reel())


def film_spec(config: Config, wanted: Wanted) -> dict[str, Any]:
    """The film that is recorded: the steps of the run's own film, where it has one."""
    given: dict[str, Any] = {}
    if config.film is not None:
        given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    chosen = {name: given[name] for name in _STEPS if given.get(name) is not None}
    if wanted.frames is not None:
        chosen = {"frames": wanted.frames}
    spec = {"name": "film", **chosen, "layer": wanted.layer, "show": wanted.show}
    if wanted.matrix is not None:
        spec["matrix"] = wanted.matrix
    return spec
