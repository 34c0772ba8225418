"""Logged results as one looks at them: trials best first, a comparison as its table."""

import math
from typing import TYPE_CHECKING, Any

from harness.studies.comparison import Comparison

if TYPE_CHECKING:
    import pandas


def best_first(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    """The rows of `results`, the best value first.

    What has no value comes behind, by its number.
    """
    rising = frame.attrs.get("direction") == "minimize"
    return frame.sort_values(
        ["value", "number"], ascending=[rising, True], na_position="last", ignore_index=True
    )


def comparison_of(frame: "pandas.DataFrame") -> Comparison | None:
    """The comparison whose trials these are, as far as it has come.

    It is None where there is no network to compare yet.
    """
    attrs = frame.attrs
    if attrs.get("kind") != "comparison" or "params.arm" not in frame or "params.seed" not in frame:
        return None
    judged = frame[frame["params.seed"].notna()]
    seeds = list(dict.fromkeys(judged["params.seed"].astype(int)))
    found = Comparison(
        attrs["name"], attrs["metric"], attrs["direction"], seeds, examples=attrs["examples"]
    )
    for arm in [name for name in attrs["arms"] if (judged["params.arm"].astype(str) == name).any()]:
        rows = judged[judged["params.arm"].astype(str) == arm]
        by_seed = dict(zip(rows["params.seed"].astype(int), rows["value"], strict=True))
        found.values[arm] = [_number(by_seed.get(seed)) for seed in seeds]
        found.notes[arm] = "; ".join(dict.fromkeys(note for note in rows["note"] if note))
    if not found.values:
        return None
    return found


def _number(value: Any) -> float | None:
    if value is None or math.isnan(value):
        return None
    return float(value)
