"""The film of the first layer's weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.recorders import Report, Trained
from harness.registry.decorators import recorder


@recorder()
def film(
    frames: int | None = None,
    every: int | None = None,
    steps: Any = None,
    spacing: str = "even",
    scaling: str = "rank",
    columns: int | None = None,
    order: Any = None,
    zoom: int | None = None,
    fps: float = 10,
    formats: Any = ("mp4",),
) -> Callable[[Trained], Report]:
    """film.mp4 (also .gif, .html): the first layer's weights as tiles, one frame for each step
    chosen, and film.png, the last

    frames, every, steps, spacing choose the steps (harness.film_steps). scaling: "rank" (ranked to
    normal quantiles, no flicker) or "symmetric" (one fixed scale). columns, order, zoom lay the
    tiles out (harness.frames). formats: of mp4, gif, html.
    """
    formats = formats.replace(",", " ").split() if isinstance(formats, str) else formats
    _check(formats, scaling, columns, order, zoom, fps)

    def record(trained: Trained) -> Report:
        from harness.pictures import film as room  # imageio is only needed here

        if not trained.state["film/frames"]:
            return Report({}, {})
        grey = trained_frames(trained, scaling=scaling, columns=columns, order=order, zoom=zoom)
        artifacts = {"film.png": room.png(grey[-1])}
        if "mp4" in formats or "html" in formats:
            artifacts["film.mp4"] = room.mp4(grey, fps=fps)
        if "gif" in formats:
            artifacts["film.gif"] = room.gif(grey, fps=fps)
        if "html" in formats:
            artifacts["film.html"] = room.player(artifacts["film.mp4"], trained.state["film/steps"])
        return Report({"film/frames": float(len(grey))}, artifacts)

    return record


def _check(formats: Any, scaling: str, columns: Any, order: Any, zoom: Any, fps: Any) -> None:
    """Refuses before the training what no film can be made with."""
    from harness.pictures.scaling import scaler
    from harness.pictures.tiles import layout

    for each in formats:
        if each not in ("mp4", "gif", "html"):
            raise UsageError(
                f"film: formats must be of 'mp4', 'gif' and 'html', got {each!r}; leave it out"
            )
    most = 50 if "gif" in formats else 1000
    in_range = f"must lie in (0, {most}]"
    checks.real(
        "film: fps", fps, lambda rate: 0 < rate <= most, in_range, remedy="10 is a good film"
    )
    if zoom is not None:
        checks.whole("film: zoom", zoom, 1, remedy="2 doubles the sides")
    scaler(scaling, None, np.zeros((1, 1), np.float32))
    # How many units there are is known to the network alone
    layout(1, 1 << 20, columns=columns, order=order)


def trained_frames(trained: Trained, **layout: Any) -> np.ndarray:
    """The frames (T, H, W) of a run's film."""
    from harness.pictures import film as room

    chosen = {k: v for k, v in layout.items() if v is not None}
    return room.frames(np.stack(trained.state["film/frames"]), trained.data.source.shape, **chosen)
