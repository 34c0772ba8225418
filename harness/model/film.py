"""The film of a model: what fit has recorded of its weights, as a file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError
from harness.model.learned import Learned
from harness.model.rows import read_features, scale_rows
from harness.pictures.files import write
from harness.pictures.notebook import ShownFilm
from harness.pictures.story import Story
from harness.recorders.told import ROWS, story_of
from harness.storage.files import write_whole
from harness.training.alone import Layers

if TYPE_CHECKING:
    from harness.model.estimator import Model

# The arguments of harness.frames that a film's spec may have too.
_OF_FRAMES = (
    *("show", "scaling", "limit", "columns", "order", "units", "gap", "zoom", "colours"),
    *("matrix", "caption", "fps"),
)
_SETTINGS = (*_OF_FRAMES, "every")
STILL_ZOOM = 6  # pixels of a weight in the picture beside a film that a notebook shows
_SUFFIXES = (".gif", ".mp4", ".html", ".png")


def write_film(
    config: Config,
    learned: Learned | None,
    history: list[dict[str, Any]],
    path: str | os.PathLike[str],
    settings: dict[str, Any],
) -> Path:
    """Writes the film of a layer's weights; see `Model.film`."""
    target = Path(path)
    chosen, every = _chosen(config, settings)
    if target.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"a film's file must end in .gif, .mp4, .html or .png, got {str(path)!r}; choose one"
        )
    recorded = recorded_film(config, learned, history, every)
    contents = write(
        target.suffix.lower()[1:], recorded.snapshots, recorded.story, recorded.shape, chosen
    )
    write_whole({target: contents})
    return target


def shown_film(
    config: Config,
    learned: Learned | None,
    history: list[dict[str, Any]],
    settings: dict[str, Any],
) -> ShownFilm:
    """The film of a layer's weights as a notebook shows it; see `Model.film`."""
    chosen, every = _chosen(config, settings)
    recorded = recorded_film(config, learned, history, every)
    page = write("html", recorded.snapshots, recorded.story, recorded.shape, chosen)
    # Each weight of the still is large enough to be seen, which the page decides by itself.
    enlarged = {"zoom": STILL_ZOOM, **chosen}
    still = write("png", recorded.snapshots, recorded.story, recorded.shape, enlarged)
    return ShownFilm(page, still, f"{len(recorded.snapshots)} frames")


def _chosen(config: Config, settings: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """The settings of a film, and of which steps it has frames; UsageError for unknown ones."""
    for key in settings:
        if key not in _SETTINGS:
            raise UsageError(f"a film has no setting {key!r}; {registry.suggest(key, _SETTINGS)}")
    # What is given here has precedence over the config.
    chosen = _own_settings(config) | settings
    every = checks.whole("every", chosen.pop("every", 1), 1)
    return chosen, every


class RecordedFilm(NamedTuple):
    """What `fit` has recorded of the weights.

    Attributes
    ----------
    snapshots : numpy.ndarray
        (T, I, O): the weights at T steps.
    story : Story
        What is told beside them.
    shape : tuple of int or None
        (rows, columns) of a tile; None where the inputs are no picture.
    """

    snapshots: np.ndarray
    story: Story
    shape: tuple[int, int] | None


def recorded_film(
    config: Config, learned: Learned | None, history: list[dict[str, Any]], every: int = 1
) -> RecordedFilm:
    """The film that `fit` has recorded; UsageError where it has recorded none.

    Parameters
    ----------
    config
        That of the model.
    learned
        What it has learned.
    history
        Its epochs.
    every
        Only frames whose step is a multiple of it are taken.
    """
    if learned is None:
        raise _no_frames()
    film_steps = learned.state["film/steps"]
    steps = [step for step in film_steps if step % every == 0]
    snapshots = [
        weights
        for step, weights in zip(film_steps, learned.state["film/frames"], strict=True)
        if step % every == 0
    ]
    if not steps:
        raise _no_frames()
    shape = learned.schema.shape
    if _is_own_matrix(config):
        shape = None
    story = _story(config, learned, steps, history)
    return RecordedFilm(np.stack(snapshots), story, shape)


def film_of(model: "Model") -> RecordedFilm:
    """The film that the last `fit` of a model has recorded; UsageError where it has none."""
    return recorded_film(model.config, model._learned, model.history)


def _story(
    config: Config, learned: Learned, steps: list[int], history: list[dict[str, Any]]
) -> Story:
    """What the film tells, with the rows that the model still has."""
    schema = learned.schema
    x = np.empty((0, schema.inputs), config.dtype)
    if learned.source is not None:
        x = scale_rows(read_features(learned.source.x[:ROWS], schema), schema, config.dtype)
    return story_of(
        config,
        Layers.of(config, learned.network()),
        steps,
        history,
        x,
        data=schema.origin.name if schema.origin else "",
        features=schema.columns or (),
        classes=schema.names,
    )


def _is_own_matrix(config: Config) -> bool:
    """Whether a deeper matrix was filmed as it is, which does not take the inputs."""
    if config.film is None:
        return False
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    return bool(given.get("layer") and given.get("matrix"))


def _own_settings(config: Config) -> dict[str, Any]:
    """The settings that the film of the config has."""
    if config.film is None:
        return {}
    arguments = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    return {key: arguments[key] for key in _OF_FRAMES if arguments.get(key) is not None}


def _no_frames() -> UsageError:
    return UsageError(
        "a film needs frames that fit has recorded in this process, got none; set film and fit"
    )
