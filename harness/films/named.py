"""References of runs -> the runs whose films they mean."""

from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.studies.films import title_of
from harness.studies.ranking import best_first
from harness.tracking.reader import KnownRun, reading
from harness.tracking.recorded_run import run_called
from harness.tracking.table import results


@dataclass(frozen=True, kw_only=True)
class Named:
    """A run whose film is asked for.

    Attributes
    ----------
    run_id : str
        Where it is in MLflow.
    name : str
        What people call it.
    study : str
        The sweep or comparison that it belongs to; empty for a run that stands alone.
    title : str
        What stands above its film.
    """

    run_id: str
    name: str
    study: str = ""
    title: str = ""


def named(reference: str, best: int, all_seeds: bool) -> list[Named]:
    """The runs that a reference means.

    Parameters
    ----------
    reference : str
        A run id, a name, or "SWEEP#3".
    best : int
        How many trials a sweep stands for.
    all_seeds : bool
        Whether a comparison stands for all its networks, or for those of its first seed.

    Raises
    ------
    UsageError
        If there are none.
    """
    with reading(None) as reader:
        run = run_called(reader, reference)
        study = ""
        if parent := run.tags.get("mlflow.parentRunId"):
            study = reader.run(parent).name
            # A trial that has taken over the result of an equal one has that one's film.
            if original := run.tags.get("harness.duplicate_of"):
                run = reader.trial(parent, original.removeprefix("#")) or run
    if run.kind == "sweep":
        return _best_of(run, best)
    if run.kind == "comparison":
        return _arms_of(run, all_seeds)
    name = run.name
    if number := run.tags.get("harness.number"):
        name = title_of(number, name)
    return [Named(run_id=run.run_id, name=name, study=study)]


def _best_of(sweep: KnownRun, best: int) -> list[Named]:
    table = best_first(results(sweep.run_id))
    rows = table[table["value"].notna()].head(best)
    if rows.empty:
        raise UsageError(
            f"the sweep {sweep.name!r} has no trial with a value yet, so it has no film; wait "
            "until one has ended"
        )
    return [_named(row, sweep.name) for row in rows.to_dict("records")]


def _arms_of(comparison: KnownRun, all_seeds: bool) -> list[Named]:
    """The networks of a comparison, arm after arm."""
    table = results(comparison.run_id)
    if "params.seed" in table:
        seeds = [seed.strip() for seed in comparison.tags.get("harness.seeds", "").split(",")]
        judged = table[table["params.seed"].notna() & table["value"].notna()]
        found = []
        for arm in table.attrs["arms"]:
            of_arm = judged[judged["params.arm"].astype(str) == arm]
            by_seed = {str(int(row["params.seed"])): row for row in of_arm.to_dict("records")}
            rows = [by_seed[seed] for seed in seeds if seed in by_seed]
            found += [
                _named(row, comparison.name, row["name"] if all_seeds else arm)
                for row in (rows if all_seeds else rows[:1])
            ]
        if found:
            return found
    raise UsageError(
        f"the comparison {comparison.name!r} has no network that has ended yet, so it has no film; "
        "wait until one has"
    )


def _named(row: dict[str, Any], study: str, name: str = "") -> Named:
    """A run from a row of the table of a study."""
    if not name:
        name = title_of(row["number"], row["name"])
    return Named(run_id=row["run_id"], name=name, study=study)
