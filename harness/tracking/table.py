"""Results as a table: the trials of a sweep, comparison or run, one row each."""

import difflib
import functools
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.tracking.entities import KEY_END, NAME_TAG
from harness.tracking.reader import KnownRun, browsing, newest_called

if TYPE_CHECKING:
    import pandas

# The columns that every table has, before and behind those of params and metrics.
_FRONT = ("number", "name", "state", "value", "note")
_BACK = ("seconds", "run_id")

# The beginnings of other columns that are the harness's own.
_PREFIXES = ("config.", "params.", "metrics.")

# The tags that say how a trial ended.
_NOTES = ("harness.reason", "harness.note", "harness.stopped", "harness.interrupted")


def results(name: str, root: Path | None = None) -> "pandas.DataFrame":
    """Return the trials of a sweep, comparison or run as a table, one row each, by their numbers.

    Columns
    -------
    number, name, state
        state is harness.state, else the run's status.
    value
        What the trial is ranked by; NaN where it did not come to its end, or its metric is not
        finite there.
    note
        How it ended, where there is something to say.
    params.NAME
        What the search space suggested, and `params.arm`, `params.seed` in a comparison.
    config.NAME
        The config that was trained.
    train/loss, valid/accuracy, ...
        The last value of each metric. A metric that has the name of another column comes as
        metrics.NAME.
    seconds, run_id

    Parameters
    ----------
    name
        The name or the run id of a sweep, comparison or run. Of several the newest is meant.
    root
        The folder that holds mlruns/; None to look for it from here.

    Returns
    -------
    pandas.DataFrame
        Its `attrs` say what it belongs to: name, kind, metric and direction ("maximize" or
        "minimize"); the arms of a comparison; and on how many examples a value was measured.

    Raises
    ------
    UsageError
        If nothing has that name, or the store cannot be read.
    """
    import pandas

    with browsing(root) as reader:
        parents = reader.parents()
        parent = newest_called(name, parents)
        if parent is None:
            raise UsageError(
                f"results need the name of a sweep, comparison or run, but none is called "
                f"{name!r}; {_hint(name, parents)}"
            )
        runs = [parent]
        if parent.kind != "run":
            runs = reader.children(parent.run_id)
    rows = sorted(map(_row, runs), key=_by_number)
    own = (*_FRONT, *_BACK)
    # A dict keeps the order in which params and metrics appear.
    middle = dict.fromkeys(key for row in rows for key in row if key not in own)
    frame = pandas.DataFrame(rows, columns=[*_FRONT, *middle, *_BACK])
    tags = parent.tags
    frame.attrs = {
        "name": parent.name,
        "kind": parent.kind,
        "metric": tags.get("harness.metric", ""),
        "direction": tags.get("harness.direction", ""),
        "arms": json.loads(tags.get("harness.arms", "[]")),
        "examples": _examples(runs),
    }
    return frame


def _hint(name: str, parents: list[KnownRun]) -> str:
    if not parents:
        return "nothing has been logged yet"
    # Several may have the same name, which is suggested once.
    names = list(dict.fromkeys(parent.name for parent in parents))
    near = difflib.get_close_matches(name, names)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return "`harness results` lists what there is"


def _examples(runs: list[KnownRun]) -> int | None:
    """Return how many validation examples the first run has that says so."""
    for run in runs:
        count = run.tags.get("harness.valid_examples")
        if count:
            return int(count)
    return None


def _by_number(row: dict[str, Any]) -> tuple[bool, int, str]:
    number = row["number"]
    return number is None, number or 0, row["name"]


def _row(run: KnownRun) -> dict[str, Any]:
    number = run.tags.get("harness.number", "")
    seconds = math.nan
    if run.end_ms:
        seconds = (run.end_ms - run.start_ms) / 1000
    row: dict[str, Any] = {
        "number": int(number) if number.isdigit() else None,
        "name": run.name,
        "state": run.tags.get("harness.state", run.status),
        "value": float(run.tags.get("harness.value", math.nan)),
        "note": "; ".join(run.tags[tag] for tag in _NOTES if run.tags.get(tag)),
        "seconds": seconds,
        "run_id": run.run_id,
    }
    for key, text in run.params.items():
        # A name that MLflow does not take as a key is kept in a tag.
        name = run.tags.get(f"{NAME_TAG}{key[-KEY_END:]}", key)
        column = name if name.startswith("config.") else f"params.{name}"
        row[column] = _value(text)
    for key, last in run.metrics.items():
        is_taken = key in (*_FRONT, *_BACK) or key.startswith(_PREFIXES)
        row[f"metrics.{key}" if is_taken else key] = last
    return row


# The trials of a sweep share most of their params.
@functools.lru_cache(maxsize=4096)
def _value(text: Any) -> Any:
    """Return a param as the number or bool that it was.

    It stays text where the number would be written in another way: 1-2, 1e3, 007.
    """
    if text in ("True", "False"):
        return text == "True"
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    is_number = type(value) in (int, float) and str(value) == text
    return value if is_number else text
