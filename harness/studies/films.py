"""The films of a comparison, side by side.

The frames of the first seed of each arm stay in the folder of the comparison, for arms that come
later.
"""

import hashlib
import io
import sys
from pathlib import Path

import numpy as np

from harness.storage import frames as kept
from harness.trials.outcome import Outcome


def film_name(arm: str, identity: str) -> str:
    """The name of a file of frames, so that names of arms never become paths."""
    return hashlib.sha256(f"{arm} {identity}".encode()).hexdigest()[:16]


def keep_frames(folder: Path, name: str, outcome: Outcome) -> None:
    """Keeps the frames of a network that has ended, if it has recorded any."""
    if outcome.state is None or not outcome.state["film/frames"]:
        return
    from harness.data.loading import load_for
    from harness.pictures import film

    source = load_for(outcome.config.data, outcome.config.missing)
    frames = film.frames(np.stack(outcome.state["film/frames"]), source.shape)
    buffer = io.BytesIO()
    np.save(buffer, frames)
    kept.write(folder, name, buffer.getvalue())


def side_by_side(folder: Path, names: dict[str, str]) -> dict[str, bytes]:
    """films.mp4 and films.png: the films of all arms beside each other, where each has one.

    Parameters
    ----------
    folder : Path
        Where the frames are.
    names : dict
        For each arm the name of its file of frames.
    """
    if len(names) < 2:
        return {}
    contents = {arm: kept.read(folder, name) for arm, name in names.items()}
    for arm, name in names.items():
        if contents[arm] is None and kept.stored(folder, name):
            sentence = f"the film of arm {arm!r} in {folder} is damaged, so films.mp4 is not made"
            print(sentence, file=sys.stderr)
    frames = {
        arm: np.load(io.BytesIO(content), allow_pickle=False)
        for arm, content in contents.items()
        if content is not None
    }
    if len(frames) < len(names):
        return {}
    from harness.pictures import film

    together = film.side_by_side(frames)
    return {"films.mp4": film.mp4(together), "films.png": film.png(together[-1])}
