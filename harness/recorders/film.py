"""The film of the first layer's weights."""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.recorders.report import Report, Trained
from harness.registry.decorators import recorder

_FORMATS = ("mp4", "gif", "html")

# For a check before the network is known: no network has more units than this.
_MANY_UNITS = 1 << 20


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
    """film.mp4 (also .gif, .html): first-layer weights as tiles, a frame a step; film.png: the last

    frames, every, steps, spacing choose the steps (harness.film_steps). scaling: "rank" (ranked to
    normal quantiles, no flicker) or "symmetric" (one fixed scale). columns, order, zoom lay the
    tiles out (harness.frames). formats: of mp4, gif, html.
    """
    if isinstance(formats, str):
        formats = formats.replace(",", " ").split()
    _check_formats(formats, fps)
    _check_layout(scaling, columns, order, zoom)
    layout = {"scaling": scaling, "columns": columns, "order": order, "zoom": zoom}

    def record(trained: Trained) -> Report:
        from harness.pictures.film import gif, mp4, player, png  # importing harness stays quick

        if not trained.state["film/frames"]:
            return Report({}, {})
        grey = _grey_frames(trained, layout)
        artifacts = {"film.png": png(grey[-1])}
        # The page plays the MP4.
        if "mp4" in formats or "html" in formats:
            artifacts["film.mp4"] = mp4(grey, fps=fps)
        if "gif" in formats:
            artifacts["film.gif"] = gif(grey, fps=fps)
        if "html" in formats:
            artifacts["film.html"] = player(artifacts["film.mp4"], trained.state["film/steps"])
        return Report({}, artifacts)

    return record


def _check_formats(formats: Any, fps: Any) -> None:
    from harness.pictures.encode import FASTEST, FASTEST_GIF, SLOWEST

    for name in formats:
        if name not in _FORMATS:
            raise UsageError(
                f"film: formats must be of 'mp4', 'gif' and 'html', got {name!r}; leave it out"
            )
    fastest = FASTEST
    if "gif" in formats:
        fastest = FASTEST_GIF
    checks.real(
        "film: fps",
        fps,
        lambda rate: SLOWEST <= rate <= fastest,
        f"must lie in [{SLOWEST}, {fastest}]",
        remedy="10 is a good film",
    )


def _check_layout(scaling: str, columns: Any, order: Any, zoom: Any) -> None:
    """Refuses before the training what no frame can be made with."""
    from harness.pictures.grey import scaler
    from harness.pictures.tiles import layout

    if zoom is not None:
        checks.whole("film: zoom", zoom, 1, remedy="2 doubles the sides")
    scaler(scaling, None, np.zeros((1, 1), np.float32))
    layout(1, _MANY_UNITS, columns=columns, order=order)


def _grey_frames(trained: Trained, layout: dict[str, Any]) -> np.ndarray:
    """The frames (T, H, W) of a run's film."""
    from harness.pictures.tiles import frames

    settings = {name: value for name, value in layout.items() if value is not None}
    snapshots = np.stack(trained.state["film/frames"])
    return frames(snapshots, trained.data.source.shape, **settings)
