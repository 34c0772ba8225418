"""A page that plays a film shows its last frame at once, however late its browser has the picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Complaints, browser, missing

from harness.pictures import film

pytestmark = [pytest.mark.slow, pytest.mark.browser]

# A browser in which the picture of a place in a video comes a while after the browser has said that
# the place was found. What is drawn before that is nothing.
LATE = """
const shown = new WeakSet();
const place = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
Object.defineProperty(HTMLMediaElement.prototype, "currentTime", {
  get() { return place.get.call(this); },
  set(seconds) { shown.delete(this); place.set.call(this, seconds); },
});
HTMLVideoElement.prototype.requestVideoFrameCallback = function (done) {
  const present = () => { shown.add(this); done(0, { mediaTime: this.currentTime }); };
  this.addEventListener("seeked", () => setTimeout(present, 400), { once: true });
};
const draw = OffscreenCanvasRenderingContext2D.prototype.drawImage;
OffscreenCanvasRenderingContext2D.prototype.drawImage = function (source, ...places) {
  if (source instanceof HTMLVideoElement && !shown.has(source)) return;
  draw.call(this, source, ...places);
};
"""

# How many different colours the film has.
COLOURS = """() => {
  const canvas = document.querySelector("canvas.film");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""


@pytest.fixture
def page() -> Iterator[Any]:
    if reason := missing():
        pytest.skip(reason)
    with browser() as context:
        context.add_init_script(LATE)
        yield context.new_page()


def test_no_frame_is_read_before_the_browser_shows_it(page: Any, tmp_path: Path) -> None:
    complaints = Complaints(page)
    way = np.linspace(0, 1, 4, dtype=np.float32)[:, None, None]
    weights = way * np.random.default_rng(0).standard_normal((1, 64, 9)).astype(np.float32)
    file = tmp_path / "film.html"
    file.write_bytes(film.player(weights, film.Story([0, 10, 20, 30]), (8, 8)))
    page.goto(file.as_uri())
    # The last frame is drawn as soon as it is read, the others when they are shown.
    page.wait_for_function(f"() => frames[last] && ({COLOURS})() > 1", timeout=20_000)
    assert page.evaluate(COLOURS) > 50
    page.wait_for_function("() => document.documentElement.dataset.ready === 'all'", timeout=20_000)
    read = page.evaluate("() => frames.map((levels) => new Set(levels).size)")
    # At the first step nothing has changed.
    assert read[0] < 5
    assert min(read[1:]) > 50
    assert complaints.ours == []
