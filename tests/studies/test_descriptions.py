"""Descriptions: the verdict on top, the best first, all that a user has written escaped."""

from harness.escapes import Markdown, markdown_lines, markdown_table
from harness.storage.records import TrialRun
from harness.storage.result import TrialResult
from harness.studies.comparison import Comparison
from harness.studies.descriptions import (
    comparison_description,
    copy_description,
    sweep_description,
    trial_description,
)
from harness.studies.objectives import Objective
from harness.studies.result import Result

EVIL = "a [x](http://evil) <b>*c*</b> `d` |"
ESCAPED = r"a \[x\]\(http://evil\) &lt;b&gt;\*c\*&lt;/b&gt; \`d\` \|"


def trial(number: int, value: float | None, **fields: object) -> TrialRun:
    values = [] if value is None else [value]
    state = "COMPLETE" if values else "DIVERGED"
    result = TrialResult(
        state=state, value=value, values=values, epochs=4, train_seconds=0.25, **fields
    )  # type: ignore[arg-type]
    return TrialRun(
        id=f"s/{number}",
        name=f"#{number}",
        number=number,
        params={"config.data": "csv('/home/ann/flowers.csv')", "config.split_seed": 0},
        tags={"harness.valid_examples": "400"},
        result=result,
    )


def swept(*trials: TrialRun, name: str = "rates", goals: int = 1) -> Result:
    objectives = [Objective("accuracy", "maximize"), Objective("loss", "minimize")][:goals]
    return Result(name, list(trials), objectives, True)


def test_of_a_sweep() -> None:
    trials = [trial(0, 0.8, params={"rate": 0.5}), trial(1, None), trial(2, 0.9, params={"k": "|"})]
    assert swept(*trials).remarks() == []
    parts = sweep_description(swept(*trials), 75, "my rates.py", "").split("\n\n")
    assert parts == [
        r"**[\#2](trial:2) is best, accuracy 0.9000**, 0.1000 ahead of [\#0](trial:0): k=\|",
        "**3 trials**: 1 complete, 1 diverged".replace("1 complete", "2 complete")
        + r"; data csv\('flowers\.csv'\), measured on 400 validation examples \(split by seed 0\). "
        "It took 1 min; the training alone 0.75 s of one processor.",
        parts[2],
        "```\nharness sweep 'my rates.py' --name rates\nharness run --config 'rates#2'\n"
        "harness verify 'rates#2'\n```",
    ]
    _, _, best, second = parts[2].splitlines()
    assert best.startswith(
        r"| 1&nbsp;&nbsp; | [\#2](trial:2)&nbsp;&nbsp; | 0\.9000&nbsp;&nbsp; | 4"
    )
    assert second.startswith(r"| 2&nbsp;&nbsp; | [\#0](trial:0)")


def test_of_a_sweep_that_was_stopped_before_anything_came_of_it() -> None:
    description = sweep_description(swept(), 0.5, "", "interrupted by <you>")
    assert description.startswith("**0 trials**: ; nothing has been trained. It took 0.5 s;")
    assert description.endswith("interrupted by &lt;you&gt;")


def test_of_a_sweep_with_several_objectives() -> None:
    one = trial(0, 0.8)
    two = trial(1, 0.9)
    one.result.values = [0.8, 0.1]
    two.result.values = [0.9, 0.2]
    description = sweep_description(swept(one, two, goals=2), 1, "", "")
    assert description.startswith(
        r"**No trial is better in accuracy and loss than [\#1](trial:1), [\#0](trial:0)**"
    )


def test_of_a_comparison_the_best_arm_comes_first() -> None:
    values: dict[str, list[float | None]] = {"relu": [0.8, 0.81, 0.82], EVIL: [0.9, 0.92, 0.92]}
    result = Comparison("c", "accuracy", "maximize", [0, 1, 2], values)
    runs = [trial(3, 0.91, arm=EVIL), trial(1, 0.9, arm=EVIL), trial(0, 0.8, arm="relu")]
    description = comparison_description(result, runs, 2.25, "acts.py")
    verdict, table, scope, about, command = description.split("\n\n")
    assert verdict.startswith(f"**better than relu: {ESCAPED}** (accuracy minus that of relu")
    _, _, first, second = table.splitlines()
    assert first.startswith(f"| {ESCAPED}&nbsp;&nbsp; | 0\\.9133")
    assert first.endswith(r"| [\#1](trial:1) [\#3](trial:3)&nbsp;&nbsp; |")
    assert second.endswith(r"| [\#0](trial:0)&nbsp;&nbsp; |")
    assert "speaks of 3 seeds" in scope
    assert about.startswith("Data csv")
    assert about.endswith("It took 2.2 s; the training alone 0.75 s of one processor.")
    assert command == "```\npython acts.py\n```"


def test_of_trials() -> None:
    run = trial(7, 0.9, params={"rate": 0.5})
    about, sentence, command = trial_description(run, "accuracy", EVIL).split("\n\n")
    assert about == r"**accuracy 0.9000** after 4 epochs: rate=0\.5"
    assert sentence.endswith(f"; trained in 0.25 s; a trial of [{ESCAPED}](study:).")
    assert command == f"```\nharness run --config '{EVIL}#7'\n```"
    run = trial(8, None, reason="diverged: <i>")
    about, reason, *_ = trial_description(run, "accuracy").split("\n\n")
    assert (about, reason) == ("**DIVERGED** after 4 epochs", "**DIVERGED** diverged: &lt;i&gt;")
    assert copy_description(run, "s") == (
        "**DIVERGED** diverged: &lt;i&gt;\n\n"
        r"The same config as \#8 of [s](study:), so it was not trained again."
    )


def test_a_long_text_does_not_push_the_rest_away() -> None:
    run = trial(0, 0.9, params={"sizes": "9" * 9000})
    assert len(sweep_description(swept(run), 1, "", "")) < 2000
    assert len(trial_description(run, "accuracy")) < 700


def test_cells_that_are_markdown_are_not_escaped_again() -> None:
    row = markdown_table([["a"], [Markdown("[x](y)")], ["[x](y)"]]).splitlines()[2:]
    assert row == ["| [x](y)&nbsp;&nbsp; |", r"| \[x\]\(y\)&nbsp;&nbsp; |"]
    assert markdown_lines([]) == ""
    assert markdown_lines(["harness run\n```\n# x"]) == "```\nharness run ``` # x\n```"
