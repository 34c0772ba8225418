"""The film of a model: what fit has recorded of its first layer, as a file."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError
from harness.model.learned import Learned
from harness.pictures.film import frames, gif, mp4, player, png
from harness.storage.files import write_whole

# The arguments of harness.frames that a film's spec may have too.
_OF_FRAMES = ("scaling", "limit", "columns", "order", "units", "gap", "zoom")
_SETTINGS = (*_OF_FRAMES, "fps", "every")
_SUFFIXES = (".gif", ".mp4", ".html", ".png")


def write_film(
    config: Config, learned: Learned | None, path: str | os.PathLike[str], settings: dict[str, Any]
) -> Path:
    """Writes the film of the first layer's weights; see `Model.film`."""
    target = Path(path)
    for key in settings:
        if key not in _SETTINGS:
            raise UsageError(f"a film has no setting {key!r}; {registry.suggest(key, _SETTINGS)}")
    if target.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"a film's file must end in .gif, .mp4, .html or .png, got {str(path)!r}; choose one"
        )
    # What is given here has precedence over the config.
    chosen = _own_settings(config) | settings
    every = checks.whole("every", chosen.pop("every", 1), 1)
    fps = chosen.pop("fps", 10)
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
    grey = frames(np.stack(snapshots), learned.schema.shape, **chosen)
    write_whole({target: _encode(target.suffix.lower(), grey, fps, steps)})
    return target


def _own_settings(config: Config) -> dict[str, Any]:
    """The settings that the film of the config has."""
    if config.film is None:
        return {}
    arguments = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    return {key: arguments[key] for key in (*_OF_FRAMES, "fps") if arguments.get(key) is not None}


def _encode(suffix: str, grey: np.ndarray, fps: Any, steps: list[int]) -> bytes:
    """Frames (T, H, W) as the bytes of a file with this suffix."""
    if suffix == ".gif":
        return gif(grey, fps=fps)
    if suffix == ".png":
        return png(grey[-1])
    video = mp4(grey, fps=fps)
    if suffix == ".html":
        return player(video, steps)
    return video


def _no_frames() -> UsageError:
    return UsageError(
        "a film needs frames that fit has recorded in this process, got none; set film and fit"
    )
