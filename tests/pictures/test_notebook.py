"""Pieces of HTML that notebooks show: escaped, and without scripts of their own."""

from harness.pictures.curves import learning_curves
from harness.pictures.notebook import ShownFilm, paragraph, picture, table


def test_texts_are_escaped() -> None:
    assert paragraph("<b>&") == "<p>&lt;b&gt;&amp;</p>"
    assert paragraph("<b>", strong=True) == "<p><strong>&lt;b&gt;</strong></p>"
    shown = table(["<u>"], [["<script>", 3]])
    assert "&lt;u&gt;" in shown
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    history = [{"epoch": 1, "valid/loss": 0.5}]
    shown = picture(learning_curves(history, "loss", False), '"><script>')
    assert 'alt="&quot;&gt;&lt;script&gt;"' in shown
    assert 'src="data:image/png;base64,' in shown


def test_a_film_is_a_frame_that_may_run_its_own_scripts_alone() -> None:
    film = ShownFilm(b'<script>"a" < b</script>', b"png", "3 frames")
    assert repr(film) == "<Film of 3 frames; film(PATH) writes it to a file>"
    shown = film._repr_html_()
    assert shown.startswith('<iframe title="3 frames" sandbox="allow-scripts"')
    assert "&lt;script&gt;&quot;a&quot; &lt; b&lt;/script&gt;" in shown
    assert "<script>" not in shown
    assert film._repr_png_() == b"png"
