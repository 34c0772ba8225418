"""What a sweep and a comparison show in a notebook: a table with the best, the verdict drawn."""

from typing import TYPE_CHECKING

from harness.pictures import notebook
from harness.pictures.arms import difference_intervals
from harness.studies.comparison_pictures import differences_of
from harness.trials.params import shown

if TYPE_CHECKING:
    from harness.studies.comparison import Comparison
    from harness.studies.result import Result

ROWS = 10  # trials of a table


def result_as_html(result: "Result") -> str:
    """How a sweep stands: the best trial in a sentence, and a table of the first ones."""
    ranked = result.ranked[:ROWS]
    so_far = "" if result.finished else " so far"
    head = f"{result.name}: {len(result.trials)} trials{so_far}"
    best = result.best
    if best is not None:
        head += f", the best is #{best.number} with {result.metric} {best.result.values[0]:.4f}"
    parts = [notebook.paragraph(head, strong=True)]
    names = list(dict.fromkeys(name for run in ranked for name in run.result.params))
    goals = [objective.name for objective in result.objectives]
    rows = []
    for run in ranked:
        values = [f"{value:.4f}" for value in run.result.values]
        params = run.result.params
        cells = [_short(params[name]) if name in params else "" for name in names]
        rows.append([f"#{run.number}", *values, *cells, run.result.epochs])
    if rows:
        parts.append(notebook.table(["trial", *goals, *names, "epochs"], rows))
    parts += [notebook.paragraph(note) for note in result.notes(ROWS)]
    return "".join(parts)


def _short(value: object) -> str:
    """A parameter in four digits: a table is to be read, and the notes say how to repeat it."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def comparison_as_html(comparison: "Comparison") -> str:
    """What came of a comparison: its verdict, the intervals drawn, and the table of arms."""
    if not comparison.values:
        return notebook.paragraph(f"{comparison.name}: nothing trained yet", strong=True)
    parts = [notebook.paragraph(f"{comparison.name}: {comparison.verdict() or 'one arm'}", True)]
    if differences := differences_of(comparison):
        figure = difference_intervals(differences, comparison.first, comparison.metric, "")
        parts.append(notebook.picture(figure, "differences with their intervals"))
    parts.append(notebook.table(*comparison.cells()))
    parts += [notebook.paragraph(sentence) for sentence in comparison.scope()]
    return "".join(parts)
