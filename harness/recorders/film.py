"""The film of the weights of a layer."""

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
    layer: int = 0,
    matrix: bool | None = None,
    show: str = "change",
    scaling: str = "root",
    columns: int | None = None,
    order: Any = None,
    units: int = 100,
    gap: int = 1,
    zoom: int | None = None,
    colours: str = "signed",
    caption: bool = True,
    fps: float = 10,
    formats: Any = ("html",),
) -> Callable[[Trained], Report]:
    """film.html (also .mp4, .gif): weights as tiles, a frame a step, in a page; film.png: the last

    frames, every, steps, spacing choose the steps (harness.film_steps). layer: which of the trained
    matrices, 0 the first; a deeper one is shown through those below it, multiplied. matrix: the
    layer's own matrix in place of tiles; where the inputs are no picture, without being asked.
    show: "change" (weights minus those of the first frame) or "weights". scaling: "root", "rank"
    (no flicker) or "symmetric". columns, order, units, gap, zoom, colours lay the tiles out and
    colour them (harness.frames). caption: steps, accuracy and its curve below an MP4, which is then
    600 pixels or more. formats: of html, mp4, gif.
    """
    if isinstance(formats, str):
        formats = formats.replace(",", " ").split()
    _check_formats(formats, fps)
    checks.whole("film: layer", layer, 0, remedy="0 is the first one")
    layout = {"columns": columns, "order": order, "units": units, "gap": gap}
    _check_looks(show, scaling, colours, zoom, layout)
    settings = {
        **layout,
        **{"matrix": matrix, "show": show, "scaling": scaling, "zoom": zoom, "colours": colours},
        **{"caption": caption, "fps": fps},
    }

    def record(trained: Trained) -> Report:
        from harness.pictures.files import write  # importing harness stays quick
        from harness.recorders.told import story_of_trained

        if not trained.state["film/frames"]:
            return Report({}, {})
        snapshots = np.stack(trained.state["film/frames"])
        story = story_of_trained(trained)
        shape = _picture_shape(trained, layer, matrix)
        artifacts = {
            f"film.{kind}": write(kind, snapshots, story, shape, settings)
            for kind in ("png", *formats)
        }
        return Report({}, artifacts)

    return record


def _picture_shape(trained: Trained, layer: int, matrix: bool | None) -> tuple[int, int] | None:
    """The shape of a tile; None where what is filmed does not take the inputs."""
    if layer and matrix:
        return None
    return trained.data.source.shape


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


def _check_looks(show: Any, scaling: str, colours: Any, zoom: Any, layout: dict[str, Any]) -> None:
    """Refuses before the training what no frame can be made with."""
    from harness.pictures import colours as maps
    from harness.pictures.grey import check_scale
    from harness.pictures.levels import shown
    from harness.pictures.tiles import layout as lay_out

    if zoom is not None:
        checks.whole("film: zoom", zoom, 1, remedy="2 doubles the sides")
    nothing = np.zeros((1, 1, 1), np.float32)
    shown(nothing, show, nothing[0])
    check_scale(scaling)
    maps.check(colours)
    lay_out(1, _MANY_UNITS, **layout)
