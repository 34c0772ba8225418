"""What people name -> the reels of their films: read where they are kept, or trained again."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import registry
from harness.config import Config
from harness.errors import UsageError
from harness.films.again import reel_again
from harness.films.named import Named, named
from harness.films.wanted import Wanted
from harness.model import Model
from harness.model.film import film_of
from harness.pictures.reel import Reel, reel_of, reels_in
from harness.storage.files import on_disk
from harness.tracking.artifacts import artifact

__all__ = ["Wanted", "reels"]

PAGE = "film.html"

_ENCODED = (".mp4", ".gif", ".png")

Say = Callable[[str], None]


def reels(what: Iterable[Any], wanted: Wanted, best: int, all_seeds: bool, say: Say) -> list[Reel]:
    """The reels of networks, in their order.

    Parameters
    ----------
    what : iterable of str, path or Model
        See `harness.film`.
    wanted : Wanted
        What each shows.
    best : int
        How many trials a sweep stands for.
    all_seeds : bool
        Whether a comparison stands for all its networks.
    say : callable
        Takes a sentence where a trial is trained again.

    Raises
    ------
    UsageError
        If there is none, or one has no film.
    """
    listed = list(what)
    if not listed:
        raise UsageError(
            "a film needs a run such as 'my sweep#3', a Model or the path of a film.html, got "
            "nothing; name at least one"
        )
    found: list[Reel | Named] = []
    for one in listed:
        if isinstance(one, Model):
            found.append(_of_model(one, wanted))
        elif _is_path(one):
            found += _of_page(Path(one).expanduser(), wanted)
        elif isinstance(one, str):
            found += named(one, best, all_seeds)
        else:
            raise UsageError(
                "a film is that of a run (its name), a Model, or the path of a film.html, got "
                f"{type(one).__name__}; name one of these"
            )
    found = _with_own_names(found, [one for one in listed if isinstance(one, Model)])
    return [one if isinstance(one, Reel) else _of_run(one, wanted, say) for one in found]


def _is_path(one: Any) -> bool:
    if isinstance(one, os.PathLike):
        return True
    if not isinstance(one, str):
        return False
    return one.endswith((".html", *_ENCODED)) or (os.sep in one and os.path.exists(one))


# Networks of this process, and pages --------------------------------------------------------------


def _of_model(net: Model, wanted: Wanted) -> Reel:
    recorded = film_of(net)
    shows = recorded.story.layer
    if shows != wanted.layer:
        raise UsageError(
            f"the film of a Model has the layer that fit has recorded, which is {shows}, got layer "
            f"{wanted.layer}; set film='film(layer={wanted.layer})' and fit"
        )
    snapshots = recorded.snapshots
    if wanted.frames is not None and wanted.frames < len(snapshots):
        raise UsageError(
            f"the film of a Model has the frames that fit has recorded, which are "
            f"{len(snapshots)}, got frames={wanted.frames}; set film='film(frames="
            f"{wanted.frames})' and fit"
        )
    return reel_of("", snapshots, recorded.story, recorded.shape, **wanted.of_reel())


def _of_page(path: Path, wanted: Wanted) -> list[Reel]:
    if path.suffix.lower() in _ENCODED:
        raise UsageError(
            f"a film is read back from its page, film.html, which has its weights, got {path}; "
            "name the page"
        )
    with on_disk(path):
        page = path.read_bytes()
    found = reels_in(page, str(path))
    for reel in found:
        if problem := wanted.problem(reel):
            raise UsageError(f"{path} {problem}; make the page anew, or ask for that")
    # A page of one film has no name for it.
    return [replace(reel, name=path.stem) if len(found) == 1 else reel for reel in found]


# Runs ---------------------------------------------------------------------------------------------


def _of_run(run: Named, wanted: Wanted, say: Say) -> Reel:
    """The reel of a run: that of the page that it has, or of training it again."""
    if wanted.frames is None:
        page = artifact(run.run_id, PAGE)
        if page is not None:
            reel = _kept(page, run)
            if reel is not None and not wanted.problem(reel):
                return replace(reel, name=run.title)
    return reel_again(run, wanted, say)


def _kept(page: bytes, run: Named) -> Reel | None:
    """The reel that a page of a run has; None where it cannot be read."""
    try:
        (reel,) = reels_in(page, f"{PAGE} of {run.name!r}")
    except (UsageError, ValueError):
        return None
    return reel


# Names --------------------------------------------------------------------------------------------


def _with_own_names(found: list[Reel | Named], nets: list[Model]) -> list[Reel | Named]:
    """The same under names that tell them apart.

    Parameters
    ----------
    found
        Reels of models, which have no name yet, and others.
    nets
        The models.
    """
    studies = {one.study for one in found if isinstance(one, Named)}
    names = iter(_names_of([net.config for net in nets]))
    titled: list[Reel | Named] = []
    for one in found:
        if isinstance(one, Named):
            # Trials of several sweeps have the same numbers.
            prefix = f"{one.study} " if len(studies) > 1 and one.study else ""
            titled.append(replace(one, title=f"{prefix}{one.name}"))
        elif one.name:
            titled.append(one)
        else:
            titled.append(replace(one, name=next(names)))
    return titled


def _names_of(configs: list[Config]) -> list[str]:
    """A name for each network of a list: that by which it is another one than the others."""
    parts = []
    for config in configs:
        sizes = "-".join(str(layer["units"]) for layer in config.layers if "units" in layer)
        activations = str(config.flat()["activations"])
        parts.append((activations, sizes, registry.text(config.update), f"seed {config.seed}"))
    differ = [place for place in range(4) if len({part[place] for part in parts}) > 1]
    names = [" ".join(part[place] for place in differ or (0, 1, 2)) for part in parts]
    counts = Counter(names)
    return [
        f"{name} ({names[: place + 1].count(name)})" if counts[name] > 1 else name
        for place, name in enumerate(names)
    ]
