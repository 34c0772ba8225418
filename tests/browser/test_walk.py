"""A walk through all that people see, in a real browser: `tox -e browser`.

The walk begins at MLflow's page of experiments, and ends at a film that plays; the pages that are
files are opened from disk.
"""

import base64
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import (
    COMPARISON,
    SWEEP,
    Complaints,
    browser,
    check_view,
    film_in,
    free_port,
    missing,
    plays,
    python,
    serving,
    wait_for_top,
)

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SECTIONS = ["Learning", "What mattered", "Weights", "Optimizer", "Time"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a sweep and a comparison have ended."""
    if reason := missing():
        pytest.skip(reason)
    home = tmp_path_factory.mktemp("home")
    (home / "digits.py").write_text(SWEEP)
    (home / "arms.py").write_text(COMPARISON)
    python(home, "-m", "harness", "sweep", "digits.py", "--name", "demo")
    python(home, "arms.py")
    return home


@pytest.fixture(scope="module")
def client(home: Path) -> Any:
    from harness.tracking.connect import client_for

    return client_for(f"sqlite:///{home}/mlruns/mlflow.db")


@pytest.fixture(scope="module")
def best(client: Any) -> Any:
    """The run of the best trial of the sweep."""
    trials = "tags.\"harness.kind\" = 'trial' and tags.\"harness.value\" != ''"
    runs = client.search_runs(["1"], trials, order_by=["metrics.`valid/accuracy` DESC"])
    return next(run for run in runs if "activation" in run.data.params)


@pytest.fixture(scope="module")
def ui(home: Path) -> Iterator[str]:
    """The address that `harness ui demo` prints."""
    with serving(
        home, "ui", "demo", "--port", free_port(), until=r"http://\S+workflowType\S+"
    ) as at:
        yield at


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    if reason := missing():
        pytest.skip(reason)
    with browser() as context:
        yield context


@pytest.fixture
def page(context: Any) -> Iterator[Any]:
    page = context.new_page()
    # MLflow explains itself in windows that cover its pages.
    got_it = page.get_by_role("button", name="Got it")
    page.add_locator_handler(got_it, lambda button: button.click())
    yield page
    page.close()


def server_of(address: str) -> str:
    return address.partition("/#/")[0]


# In MLflow ----------------------------------------------------------------------------------------


def test_from_the_experiments_to_a_film_that_plays(page: Any, ui: str, best: Any) -> None:
    complaints = Complaints(page, server_of(ui))
    page.goto(f"{server_of(ui)}/#/experiments?workflowType=machine_learning")
    page.get_by_role("link", name="harness", exact=True).first.click()
    # MLflow opens an experiment with what it has for language models, until it is told otherwise.
    page.wait_for_url(re.compile(r"/experiments/\d+/"))
    page.get_by_text("Model training", exact=True).first.click()
    page.get_by_role("link", name="Runs", exact=True).first.click()
    page.get_by_test_id("saved-views-trigger").click()
    page.get_by_text("demo", exact=True).last.click()
    page.wait_for_url(re.compile("viewStateShareKey="))
    name = best.info.run_name
    row = wait_for_top(page, name)
    for column in ("valid/accuracy", "config.epochs", "activation", "learning_rate"):
        assert page.get_by_test_id(f"sort-header-{column}").count() == 1, column
    row.click()
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("film.html", exact=True).click()
    assert plays(film_in(page))
    assert complaints.ours == []


def test_the_ui_opens_the_view_that_is_named(page: Any, ui: str, best: Any) -> None:
    complaints = Complaints(page, server_of(ui))
    page.goto(ui)
    check_view(page, SECTIONS, f"{best.info.run_name.split()[0]} ")
    # Charts are drawn when they come into sight.
    page.get_by_text("Optimizer", exact=True).first.scroll_into_view_if_needed()
    images = page.locator("img[src*='weights%2Bstep%2B4']")
    images.first.wait_for()
    widths = images.evaluate_all("all => all.map(each => each.naturalWidth)")
    assert len(widths) == 5
    assert min(widths) > 100
    assert complaints.ours == []


def test_the_arms_of_a_comparison_are_grouped(page: Any, ui: str, client: Any) -> None:
    tags = client.get_experiment("1").tags
    keys = [key for key, text in tags.items() if '"relu or tanh"' in text]
    key = keys[0].rpartition(".")[2]
    page.goto(re.sub(r"(?<=viewStateShareKey=)\w+", key, ui))
    check_view(page, ["Learning", "Optimizer", "Time"], "#")
    groups = page.get_by_text(re.compile("^Group: (relu|tanh)$"))
    assert sorted(groups.all_inner_texts()) == ["Group: relu", "Group: tanh"]


def test_a_view_that_is_malformed_is_noticed(page: Any, ui: str, client: Any) -> None:
    state = {"compareRunSections": 7, "compareRunCharts": {"type": "NONE"}, "selectedColumns": 3}
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": "bad", "createdAt": 1, "updatedAt": 1, "state": f"deflate;{packed}"}
    key = f"mlflow.sharedViewState.{'f' * 32}"
    client.set_experiment_tag("1", key, json.dumps(view))
    try:
        page.goto(re.sub(r"(?<=viewStateShareKey=)\w+", "f" * 32, ui))
        with pytest.raises(AssertionError, match="does not understand"):
            check_view(page, SECTIONS, "#")
    finally:
        client.delete_experiment_tag("1", key)


def test_a_description_leads_to_the_trials(page: Any, ui: str, client: Any, best: Any) -> None:
    complaints = Complaints(page, server_of(ui))
    parent = best.data.tags["mlflow.parentRunId"]
    page.goto(f"{server_of(ui)}/#/experiments/1/runs/{parent}?workflowType=machine_learning")
    number = best.data.tags["harness.number"]
    link = page.get_by_role("link", name=f"#{number}", exact=True).first
    with page.context.expect_page() if link.get_attribute("target") else page.expect_navigation():
        link.click()
    shown = page.context.pages[-1]
    shown.wait_for_url(re.compile(best.info.run_id))
    shown.get_by_role("heading", name=best.info.run_name).wait_for()
    assert complaints.ours == []


# From disk ----------------------------------------------------------------------------------------


def artifact(run: Any, name: str) -> str:
    path = Path(run.info.artifact_uri.removeprefix("file://")) / name
    assert path.is_file()
    return path.as_uri()


def test_a_film_from_disk(page: Any, best: Any) -> None:
    complaints = Complaints(page)
    page.goto(artifact(best, "film.html"))
    assert plays(page)
    slider = page.get_by_label("step", exact=True)
    slider.fill("0")
    assert "step 0" in page.locator("output").inner_text()
    assert page.get_by_role("button", name="Play").count() == 1  # it has stopped
    page.keyboard.press("End")
    last = float(slider.get_attribute("max"))
    assert f"step {last:.0f} " in page.locator("output").inner_text()
    page.locator("canvas.film").hover(position={"x": 20, "y": 20})
    assert "unit" in page.locator("#about").inner_text().lower()
    assert complaints.ours == []


@pytest.mark.parametrize("kind", ["sweep", "comparison"])
def test_a_report_from_disk(page: Any, client: Any, kind: str) -> None:
    name = {"sweep": "demo", "comparison": "relu or tanh"}[kind]
    is_kind = f"tags.\"harness.kind\" = '{kind}' and attributes.run_name = '{name}'"
    (parent,) = client.search_runs(["1"], is_kind)
    complaints = Complaints(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(artifact(parent, "report.html"))
    assert page.get_by_role("heading", level=1).inner_text() == name
    assert page.locator(".verdict").inner_text()
    widths = page.locator("img").evaluate_all("all => all.map(each => each.naturalWidth)")
    assert len(widths) >= 3
    assert min(widths) > 100
    if kind == "sweep":
        assert plays(film_in(page))
    for width in (1280, 700):
        page.set_viewport_size({"width": width, "height": 950})
        for frame in page.locator("iframe").all():
            frame.scroll_into_view_if_needed()
            film = frame.content_frame.locator("html")
            film.locator("canvas.film").first.wait_for()
            page.wait_for_timeout(500)
            high = frame.evaluate("frame => frame.clientHeight")
            content = film.evaluate("html => html.getBoundingClientRect().height")
            # What is too high for a window is scrolled in its frame.
            assert 0 <= high - min(content, 860) < 1.01, (width, high, content)
            sideways = film.evaluate("html => html.scrollWidth - html.clientWidth")
            assert sideways == 0
    assert [url[:60] for url in asked[1:] if not url.startswith(("data:", "about:", "blob:"))] == []
    assert complaints.ours == []


# While it trains ----------------------------------------------------------------------------------


def test_a_curve_grows_while_it_is_watched(page: Any, home: Path) -> None:
    complaints = Complaints(page)
    training = serving(home, "sweep", "digits.py", "--name", "slow", until="slow")
    with training, serving(home, "watch", "slow") as address:
        page.goto(address)
        curve = page.locator("#cards .card polyline, #cards .card path").first
        curve.wait_for(state="attached", timeout=40_000)
        points = "line => (line.getAttribute('points') || line.getAttribute('d')).length"
        before = curve.evaluate(points)
        for _ in range(100):
            page.wait_for_timeout(200)
            if curve.evaluate(points) > before:
                break
        assert curve.evaluate(points) > before
        picture = page.locator("#cards .card img").first
        page.wait_for_function(
            "() => [...document.querySelectorAll('#cards img')].some(each => each.naturalWidth > 50)"
        )
        assert picture.count() == 1
        page.get_by_role("button", name="Pause").click()
        assert page.get_by_role("button", name="Go on").count() == 1
    assert complaints.ours == []
