"""A report: one file, which asks nobody for anything, names no machine, and escapes what it shows."""

import re

import pytest

from harness.escapes import without_folders
from harness.studies.comparison import Comparison
from harness.studies.gallery import About
from harness.studies.report import Media, Report, Table
from harness.studies.study_report import comparison_report


def test_what_users_write_is_shown_as_text() -> None:
    page = Report(
        title="<script>alert(1)</script>",
        question="a & b",
        verdict="<b>",
        results=Table("<i>", ["<u>"], [["</td>"]]),
        pictures=[Media('"><script>', b"png")],
        commands=["a && b > c"],
    ).to_html()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    for mark in ("<b>", "<i>", "<u>", '""><script>'):
        assert mark not in page
    assert "a &amp;&amp; b &gt; c" in page


def test_a_report_asks_no_other_machine() -> None:
    page = Report(
        title="t", question="q", players=[Media("film", b"<p>")], pictures=[Media("p", b"png")]
    ).to_html()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert "http" not in page
    assert "&lt;p&gt;" in re.findall('srcdoc="([^"]+)"', page)[0]
    assert 'src="data:image/png;base64,cG5n"' in page


def test_a_page_tells_its_height_and_stays_what_it_is() -> None:
    page = "<!doctype html>\n<title>film</title>"
    text = Media("film", page.encode()).text
    # In front of its first line a browser would take it for a page of the nineties.
    assert text.startswith("<!doctype html><script>")
    assert text.endswith("</script>\n<title>film</title>")
    report = Report(title="t", question="q", players=[Media("film", page.encode())]).to_html()
    assert "each.contentWindow === told.source" in report
    assert 'sandbox="allow-scripts"' in report
    # Without frames there is nobody to listen to.
    assert "<script" not in Report(title="t", question="q").to_html()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("csv('/home/someone/data/iris.csv', label='kind')", "csv('iris.csv', label='kind')"),
        ("/srv/x.npz", "x.npz"),
        ("data/iris.csv", "data/iris.csv"),
        ("mnist14(rows=2000)", "mnist14(rows=2000)"),
        ("/255", "/255"),
        ("train/loss / accuracy", "train/loss / accuracy"),
        ("place=/home/a b/x y=/home/c/z", "place=x y=z"),
    ],
)
def test_folders_of_this_machine_are_left_out(text: str, shown: str) -> None:
    assert without_folders(text) == shown


def test_the_report_of_a_comparison() -> None:
    result = Comparison("acts", "accuracy", "maximize", [0, 1, 2])
    result.values = {"relu": [0.5, 0.6, 0.7], "tanh": [0.6, 0.7, 0.8]}
    said = About(environment={"numpy": "2.4"}, script="acts.py", note="It is not done.")
    page = comparison_report(result, [], {}, None, said).to_html()
    assert "Not told apart from relu: tanh" in page
    assert "0.7000" in page
    assert "python acts.py" in page
    assert "It is not done." in page
    assert "<td>numpy</td><td>2.4</td>" in page


def test_what_tuning_is_worth() -> None:
    result = Comparison("acts", "accuracy", "maximize", [0])
    result.tuning = {"relu": [0.5, None, 0.7], "tanh": [None]}
    # A point without a value counts as the worst: of 0.5, 0.5, 0.7 one is 0.5667 on average.
    assert result.tuning_worth() == {"relu": pytest.approx([17 / 30, 19 / 30, 0.7])}
