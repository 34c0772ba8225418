"""What films that stand beside each other must all show."""

from dataclasses import dataclass
from typing import Any

from harness.pictures.reel import Reel


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is asked of each film.

    Attributes
    ----------
    show, scaling : str
        See `harness.frames`.
    layer : int
        Which of the trained matrices.
    matrix : bool or None
        Whether a matrix is drawn in place of tiles; None where the inputs are no picture.
    frames : int or None
        How many frames; None for those that are kept.
    """

    show: str
    scaling: str
    layer: int
    matrix: bool | None
    frames: int | None

    def of_reel(self) -> dict[str, Any]:
        """Those of these that `reel_of` takes."""
        return {"show": self.show, "scaling": self.scaling, "matrix": self.matrix}

    def problem(self, reel: Reel) -> str:
        """What a reel shows in place of what is asked for, as a part of a sentence; "" for none."""
        if (reel.show, reel.scaling) != (self.show, self.scaling):
            return (
                f"shows {reel.show!r} by {reel.scaling!r}, and asked for is {self.show!r} by "
                f"{self.scaling!r}"
            )
        if reel.story.layer != self.layer:
            return f"shows layer {reel.story.layer}, and asked for is layer {self.layer}"
        if self.matrix is not None and reel.is_matrix != self.matrix:
            words = "a matrix" if reel.is_matrix else "tiles"
            return f"shows {words}, and asked for is the other"
        if self.frames is not None and len(reel.story.steps) != self.frames:
            return f"has {len(reel.story.steps)} frames, and asked for are {self.frames}"
        return ""
