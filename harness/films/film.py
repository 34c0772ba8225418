"""harness.film: networks beside each other, as films and as one page that plays them."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import checks
from harness.errors import UsageError, argument
from harness.escapes import printable
from harness.films.reels import Wanted, reels
from harness.pictures.encode import gif, mp4, png
from harness.pictures.reel import Reel
from harness.pictures.together import Settings, Together
from harness.storage.files import on_disk, write_plain

_SUFFIXES = (".html", ".mp4", ".gif", ".png")


def film(
    what: Any,
    *paths: str | os.PathLike[str],
    titles: Sequence[str] | None = None,
    best: int = 1,
    all_seeds: bool = False,
    show: str = "change",
    scaling: str = "root",
    layer: int = 0,
    matrix: bool | None = None,
    frames: int | None = None,
    units: int | None = None,
    columns: int | None = None,
    limit: float | None = None,
    colours: str = "signed",
    gap: int = 1,
    fps: float = 10,
) -> list[Path]:
    """Writes films of several networks as one, on one axis of steps and one scale.

    What a trial has kept of its film is used where it shows what is asked for. Otherwise the trial
    is trained again, with a sentence on stderr, and must come to the same digest.

    Parameters
    ----------
    what : run, Model or path, or several of them
        A run by its name, run id or "SWEEP#3"; a sweep, which stands for its best trials; a
        comparison, which stands for its arms; a `Model` that `fit` has filmed; or the path of a
        page that plays a film (film.html). One alone gives the large film of that one.
    *paths
        The files: each ends in .html (a page with a slider), .mp4, .gif or .png (the last frame).
        Unless given they are film.html and film.mp4 in the current folder, of several networks
        films.html and films.mp4.
    titles : sequence of str, optional
        What stands above each.
    best : int
        How many of its best trials a sweep stands for.
    all_seeds : bool
        Whether a comparison stands for all its networks, and not only those of the first seed.
    show : str
        "change" (the weights minus those of the first frame) or "weights".
    scaling : str
        "root", "symmetric" or "rank", as in `frames`.
    layer : int
        Which of the trained matrices, 0 the first.
    matrix : bool, optional
        The layer's own matrix in place of tiles; unless given, where the inputs are no picture.
    frames : int, optional
        So many frames of each, for which trials are trained again.
    units : int, optional
        How many units of each are drawn at most; unless given, as many as have room.
    columns : int, optional
        How many stand beside each other.
    limit : float, optional
        The size of a weight at which the scale ends; unless given, that of the largest.
    colours : str
        "signed" or "greys".
    gap : int
        0 leaves no gap between tiles.
    fps : float
        Frames a second.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    UsageError
        For what there is not, for a network without a film, and for anything that does not fit.
    """
    targets = [_target(path) for path in paths]
    checks.whole(argument("best"), best, 1, remedy="it says how many trials of a sweep")
    checks.whole(argument("layer"), layer, 0, remedy="0 is the first one")
    if frames is not None:
        checks.whole(argument("frames"), frames, 2, remedy="30 make a good film")
    wanted = Wanted(show=show, scaling=scaling, layer=layer, matrix=matrix, frames=frames)
    several = reels(_listed(what), wanted, best, all_seeds, _say)
    if titles is not None:
        several = _titled(several, titles)
    if all_seeds and columns is None:
        columns = _seeds_of_an_arm(several)
    settings = Settings(units, columns, limit, colours, gap, fps)
    together = Together(several, settings)
    if not targets:
        name = "film" if len(several) == 1 else "films"
        targets = [Path(f"{name}.html"), Path(f"{name}.mp4")]
    contents = made(together, several, {target.suffix.lower() for target in targets}, fps)
    for target in targets:
        # Asking for the folder raises the error that writing into it would hide by making it.
        with on_disk(target):
            target.parent.stat()
        write_plain(target, contents[target.suffix.lower()])
    return targets


def made(
    together: Together, several: Sequence[Reel], kinds: Iterable[str], fps: float
) -> dict[str, bytes]:
    """Films as files, by the endings of their names.

    Parameters
    ----------
    together : Together
        The films.
    several : sequence of Reel
        What they show.
    kinds : iterable of str
        Of ".html", ".mp4", ".gif" and ".png".
    fps : float
        Frames a second.
    """
    contents: dict[str, bytes] = {}
    wanted = set(kinds)
    if ".html" in wanted:
        contents[".html"] = together.to_page()
    if ".mp4" in wanted or ".gif" in wanted:
        pages = together.to_frames()
        if ".mp4" in wanted:
            contents[".mp4"] = mp4(pages, fps)
        if ".gif" in wanted:
            contents[".gif"] = gif(pages, fps)
    if ".png" in wanted:
        contents[".png"] = png(together.to_frames(last_only=True)[0], is_exact=True)
    return contents


def _listed(what: Any) -> list[Any]:
    """What is to be filmed, as a list: a text, a path and a network are one."""
    if isinstance(what, Iterable) and not isinstance(what, str | bytes | os.PathLike):
        return list(what)
    return [what]


def _target(path: str | os.PathLike[str]) -> Path:
    target = Path(path).expanduser()
    if target.suffix.lower() not in _SUFFIXES:
        raise UsageError(
            f"a film's file must end in .html, .mp4, .gif or .png, got {str(path)!r}; choose one"
        )
    return target


def _titled(several: list[Reel], titles: Sequence[str]) -> list[Reel]:
    if isinstance(titles, str) or len(titles) != len(several):
        raise UsageError(
            f"{argument('titles')} must be one for each of the {len(several)} films, got "
            f"{checks.shown(titles)}; correct them"
        )
    for title in titles:
        checks.line(argument("titles"), title)
    return [replace(reel, name=title) for reel, title in zip(several, titles, strict=True)]


def _seeds_of_an_arm(several: Sequence[Reel]) -> int | None:
    """How many networks each arm has, so that an arm is a row; None where they are not equal."""
    counts = Counter(reel.name.rpartition(" seed=")[0] for reel in several)
    sizes = set(counts.values())
    if len(counts) < 2 or len(sizes) > 1 or max(sizes) > 6:
        return None
    return sizes.pop()


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr)
