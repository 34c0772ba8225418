"""Grey levels -> colours: signed weights in two colours around a neutral one, or greys.

Blue is negative, red is positive; both maps are safe for readers who do not tell red from green.
"""

from functools import lru_cache

import numpy as np

from harness.errors import UsageError

# ColorBrewer's RdBu by Cynthia Brewer (Apache 2.0), turned round: zero is nearly white.
_SIGNED = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f"

# Every 16th colour of berlin, one of Fabio Crameri's scientific colour maps (MIT): zero is nearly
# black. It is for dark pages.
_SIGNED_DARK = (
    "9eb0ff 79abed 519fd3 3685ad 286886 1d4b61 14303e 111a20 190c09 2a0e01 3f1201 591c07 7b321c "
    "9c4f3d bc6d61 dd8d86 ffadad"
)

_ANCHORS = {"signed": _SIGNED, "signed dark": _SIGNED_DARK, "greys": "000000 ffffff"}

# What stands between tiles, and where there is no tile.
_BETWEEN = {"signed": "ffffff", "signed dark": "141414", "greys": "000000"}

NAMES = ("signed", "greys")


@lru_cache(maxsize=4)
def table(name: str) -> np.ndarray:
    """The 256 colours of a map, uint8 (256, 3): level 0 is the most negative weight."""
    anchors = np.array([list(bytes.fromhex(colour)) for colour in _ANCHORS[name].split()])
    at = np.linspace(0, 255, len(anchors))
    channels = [np.interp(np.arange(256), at, channel) for channel in anchors.T]
    colours = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    colours.flags.writeable = False  # shared by every film in the process
    return colours


def between(name: str) -> np.ndarray:
    """The colour between tiles, uint8 (3,)."""
    return np.array(list(bytes.fromhex(_BETWEEN[name])), np.uint8)


def paint(levels: np.ndarray, empty: np.ndarray, name: str) -> np.ndarray:
    """Frames in colour.

    Parameters
    ----------
    levels
        uint8 (T, H, W).
    empty
        bool (H, W), true where no weight is.
    name
        Of the colour map.

    Returns
    -------
    numpy.ndarray
        uint8 (T, H, W, 3).
    """
    # All levels are in the table, so nothing is clipped, and `take` is four times as fast as [].
    film: np.ndarray = table(name).take(levels, axis=0, mode="clip")
    film[:, empty] = between(name)
    return film


def check(colours: str) -> str:
    """The name of a colour map, if it is one. Raises UsageError otherwise."""
    if colours not in NAMES:
        raise UsageError(
            f"colours must be 'signed' or 'greys', got {colours!r}; choose one of them."
        )
    return colours
