"""What mattered in a sweep: Optuna's plot of importances, without what it would import for it."""

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec
from typing import Any

_PACKAGE = "optuna.importance"


def plot_importances(study: Any, **keywords: Any) -> Any:
    """Optuna's plot of importances by PED-ANOVA.

    Parameters
    ----------
    study : optuna.Study
        The study.
    **keywords
        As of `optuna.visualization.matplotlib.plot_param_importances`.

    References
    ----------
    Watanabe, Bansal and Hutter, IJCAI 2023.
    """
    from optuna.study import StudyDirection
    from optuna.visualization.matplotlib import plot_param_importances

    target = keywords.get("target")
    if target is not None and study.directions[0] == StudyDirection.MAXIMIZE:
        # Where it is given a target, Optuna takes the lowest values for the best ones.
        keywords["target"] = _negative(target)
    with _ped_anova_alone():
        return plot_param_importances(study, **keywords)


def _negative(target: Any) -> Any:
    def negative(trial: Any) -> float:
        return -target(trial)

    return negative


@contextlib.contextmanager
def _ped_anova_alone() -> Iterator[None]:
    """While this lasts, the package of Optuna's importances is a small one that has PED-ANOVA.

    The whole package imports scikit-learn for its other evaluators, which takes twice as long as
    all plots of a sweep. Afterwards it is as it was, for whoever wants it whole.
    """
    if _PACKAGE in sys.modules:
        yield
        return
    import optuna

    spec = find_spec(_PACKAGE)
    assert spec is not None
    before = optuna.importance
    # Its own code, which imports the evaluators, does not run.
    package: Any = module_from_spec(spec)
    package.get_param_importances = _importances
    sys.modules[_PACKAGE] = package
    optuna.importance = package
    try:
        yield
    finally:
        optuna.importance = before
        for name in [*sys.modules]:
            if name == _PACKAGE or name.startswith(f"{_PACKAGE}."):
                del sys.modules[name]


def _importances(study: Any, **keywords: Any) -> dict[str, float]:
    """What `optuna.importance.get_param_importances` gives: importances whose sum is 1."""
    from optuna.importance._ped_anova import PedAnovaImportanceEvaluator

    # It is PED-ANOVA without being told so, too.
    keywords.pop("evaluator")
    importances = PedAnovaImportanceEvaluator().evaluate(study, **keywords)
    total = sum(importances.values())
    if total == 0.0:
        return dict.fromkeys(importances, 1.0 / len(importances))
    return {name: importance / total for name, importance in importances.items()}
