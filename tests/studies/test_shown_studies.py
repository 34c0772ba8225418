"""What a sweep and a comparison show in a notebook, and in a few lines of text."""

from harness.storage.ranking import Objective
from harness.storage.records import TrialRun
from harness.storage.result import TrialResult, TrialState
from harness.studies.comparison import Comparison
from harness.studies.result import Result


def run_of(number: int, value: float | None, **params: object) -> TrialRun:
    values = [] if value is None else [value]
    result = TrialResult(
        state=TrialState.COMPLETE, value=value, values=values, epochs=3, params=params
    )
    return TrialRun(id=f"s/{number}", name=f"#{number}", number=number, result=result)


def result_of(runs: list[TrialRun], finished: bool = True) -> Result:
    return Result("<b>s</b>", runs, [Objective("accuracy", "maximize")], finished)


def test_a_sweep_shows_its_best_trials() -> None:
    runs = [run_of(k, k / 100, kind="<i>" if k else None, rate=1 / (k + 3)) for k in range(30)]
    shown = result_of(runs)._repr_html_()
    assert "&lt;b&gt;s&lt;/b&gt;: 30 trials, the best is #29 with accuracy 0.2900" in shown
    assert "<b>s" not in shown
    assert "&lt;i&gt;" in shown
    assert shown.count("<tr>") == 11
    assert ">0.03125</td>" in shown  # 1 / 32, in four digits
    assert "#29 again: harness run --config" in shown


def test_a_sweep_without_trials_is_shown() -> None:
    assert "0 trials so far" in result_of([], finished=False)._repr_html_()
    assert "<table" not in result_of([])._repr_html_()


def test_a_comparison_shows_its_verdict_and_the_intervals() -> None:
    comparison = Comparison("acts", "accuracy", "maximize", [0, 1, 2])
    assert "nothing trained yet" in comparison._repr_html_()
    comparison.values = {"relu": [0.5, 0.6, 0.7]}
    assert "acts: one arm" in comparison._repr_html_()
    assert "<img " not in comparison._repr_html_()
    comparison.values["<b>tanh"] = [0.8, 0.9, 0.99]
    shown = comparison._repr_html_()
    assert "<strong>acts: better than relu: &lt;b&gt;tanh</strong>" in shown
    assert "<b>tanh" not in shown
    assert shown.count("<img ") == 1
    assert "speaks of 3 seeds" in shown


def test_in_text_both_stay_within_twenty_lines() -> None:
    lost = [run_of(k, None, text="a\nb\nc") for k in range(30)]
    runs = [run_of(k, 0.5, text="a\nb\nc") for k in range(30, 60)]
    assert len(repr(result_of([*lost, *runs])).splitlines()) < 20
    arms = {f"arm {k}": [0.5, 0.6] for k in range(40)}
    comparison = Comparison("acts", "accuracy", "maximize", [0, 1], values=arms)
    assert len(repr(comparison).splitlines()) < 20
