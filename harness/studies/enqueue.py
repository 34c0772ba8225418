"""Points that a sweep tries first: read from a file, and checked before anything is written."""

import csv
import json
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.studies.space import Skip, propose

if TYPE_CHECKING:
    from harness.studies.sweep import Sweep

Point = dict[str, Any]


def read_points(file: Path | str) -> list[Point]:
    """The points in a JSON file (a list of objects) or a CSV file (a column for each parameter).

    A cell of CSV is read as JSON where it is JSON, else as text; an empty one leaves its parameter
    to the sampler.

    Raises
    ------
    UsageError
        The file cannot be read as one of these.
    """
    path = Path(file).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
        points = _rows(text) if path.suffix.lower() == ".csv" else json.loads(text)
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(
            f'a file of points must be CSV whose name ends in .csv, or JSON such as [{{"rate": '
            f"0.1}}], but {file} "
            f"cannot be read: {error}; correct it"
        ) from None
    check_points(points)
    return points


def _rows(text: str) -> list[Point]:
    lines = csv.DictReader(text.splitlines(), strict=True)
    points = []
    for row in lines:
        if None in row or None in row.values():
            raise ValueError(f"line {lines.line_num} has another number of cells than the header")
        points.append({name: _cell(cell) for name, cell in row.items() if cell.strip()})
    return points


def _cell(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"True": True, "False": False}.get(text.strip(), text)


def check_points(points: Any) -> None:
    """UsageError unless these are points: a list of dicts of what can be written down as JSON."""
    if not isinstance(points, list):
        raise UsageError(
            f"enqueue must be a list of points such as [{{'rate': 0.1}}], got {points!r:.60}; put "
            f"it into a list"
        )
    for point in points:
        if (
            not isinstance(point, dict)
            or not point
            or not all(isinstance(name, str) for name in point)
        ):
            raise UsageError(
                "each enqueued point must name parameters with their values, such as {'rate': "
                "0.1}, "
                f"got {point!r:.60}; correct it"
            )
        try:
            json.dumps(point, allow_nan=False)
        except (TypeError, ValueError):
            raise UsageError(
                f"each enqueued point must hold finite numbers, texts, True, False, None, or lists "
                f"and dicts of these, "
                f"got {point!r:.200}; convert what is something else"
            ) from None


def check_point(sweep: "Sweep", point: Point) -> None:
    """UsageError where a point does not lie in the search space of a sweep.

    So it is where the point names a parameter, or sets one to a value, that is not suggested.
    """
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(point)
    trial = study.ask()
    shown = json.dumps(point)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Fixed parameter")
            propose(sweep, trial)
    except Skip:
        return
    except UsageError as error:
        cause = error.__cause__
        if cause is None or not _is_optunas(cause):
            raise
        raise UsageError(
            f"each enqueued point must lie in the search space, but {shown} does not: {cause}; "
            f"correct the point or "
            "widen the space"
        ) from None
    unknown = [name for name in point if name not in trial.params]
    if unknown:
        raise UsageError(
            f"each enqueued point must name what the space suggests "
            f"({', '.join(trial.params) or 'nothing'}), but "
            f"{shown} has {unknown[0]!r}; leave that out"
        )


def _is_optunas(error: BaseException) -> bool:
    """Whether it is Optuna that did not like a value, and not the space."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "optuna" in Path(frames[-1].filename).parts
