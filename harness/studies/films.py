"""Films of a study side by side: those of the arms of a comparison, and of the best of a sweep.

The page of the film of the first seed of each arm stays in the folder of the comparison, for arms
that come later.
"""

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import registry
from harness.errors import UsageError
from harness.escapes import printable, without_folders
from harness.pictures.encode import mp4, png
from harness.pictures.reel import Reel, reels_in
from harness.pictures.together import Together
from harness.storage import frames as kept
from harness.training.prepare import prepare
from harness.trials.outcome import Outcome

PLAYER = "film.html"

# The settings of a film that decide how its weights become colours.
_LOOKS = ("show", "scaling", "units", "matrix")


def film_name(arm: str, identity: str) -> str:
    """The name of the film of a network, so that names of arms never become paths."""
    return hashlib.sha256(f"{arm} {identity}".encode()).hexdigest()[:16]


def keep_film(folder: Path, name: str, outcome: Outcome) -> None:
    """Keeps the film of a network that has ended, if it has recorded one."""
    page = outcome.artifacts.get(PLAYER)
    if page is None and outcome.state is not None and outcome.state["film/frames"]:
        page = _page_of(outcome)
    if page is not None:
        kept.write(folder, name, page)


def _page_of(outcome: Outcome) -> bytes:
    """The page of a film whose settings ask for other files."""
    from harness.pictures.files import write
    from harness.recorders.report import Trained
    from harness.recorders.told import story_of_trained

    assert outcome.state is not None
    config = outcome.config
    assert config.film is not None
    data = prepare(config)
    story = story_of_trained(Trained(config, data, outcome.state, outcome.records))
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    settings = {name: given[name] for name in _LOOKS if given.get(name) is not None}
    shape = None if story.is_own_matrix else data.source.shape
    return write("html", np.stack(outcome.state["film/frames"]), story, shape, settings)


def films_of_arms(folder: Path, names: Mapping[str, str]) -> dict[str, bytes]:
    """The films of all arms beside each other, where each has one.

    Parameters
    ----------
    folder : Path
        Where the films are.
    names : dict
        For each arm the name of its film.

    Returns
    -------
    dict of bytes by name
        films.html, films.mp4 and films.png.
    """
    pages = {arm: kept.read(folder, name) for arm, name in names.items()}
    for arm, name in names.items():
        if pages[arm] is None and kept.stored(folder, name):
            _say(f"the film of arm {arm!r} in {folder} is damaged, so films.html is not made")
    known = {arm: page for arm, page in pages.items() if page is not None}
    if len(known) < len(names):
        return {}
    return side_by_side(known)


def side_by_side(pages: Mapping[str, bytes]) -> dict[str, bytes]:
    """Films beside each other; none where there are not at least two.

    Parameters
    ----------
    pages : dict of bytes by name
        By what stands above each, the page that plays it.

    Returns
    -------
    dict of bytes by name
        films.html, films.mp4 and films.png.
    """
    if len(pages) < 2:
        return {}
    try:
        together = Together([_reel(name, page) for name, page in pages.items()])
    except UsageError as error:
        _say(f"the films are not put side by side: {error}")
        return {}
    frames = together.to_frames()
    return {
        "films.html": together.to_page(),
        "films.mp4": mp4(frames),
        "films.png": png(frames[-1], is_exact=True),
    }


def title_of(number: Any, name: str) -> str:
    """What stands above the film of a trial: its number first, and no number of many digits."""
    short = re.sub(r"\d+\.\d{4,}(e-?\d+)?", lambda found: f"{float(found[0]):.3g}", name)
    mark = f"#{int(number)}"
    return f"{mark} {short.removeprefix(mark).removesuffix(mark).strip()}"


def large_film(name: str, page: bytes) -> bytes:
    """The film of one network as a large MP4, with its caption and its curve running along."""
    return mp4(Together([_reel(name, page)]).to_frames())


def _reel(name: str, page: bytes) -> Reel:
    (reel,) = reels_in(page, f"the film of {name!r}")
    # The page may be sent to somebody, whom the folders of this machine are no business of.
    return replace(reel, name=without_folders(name))


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr)
