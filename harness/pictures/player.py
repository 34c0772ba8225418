"""An MP4 -> one HTML page that plays it, with a slider over its frames."""

import base64
import html
import json
from collections.abc import Sequence

from harness.errors import UsageError

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>@title@</title>
<style>
body { margin: 0; padding: 16px; font: 15px/1.4 system-ui, sans-serif; }
body { color: #222; background: #fff; }
main { width: clamp(260px, calc((100vh - 150px) * var(--aspect, 1)), 100%); margin: auto; }
h1 { font-size: 17px; font-weight: 600; margin: 0 0 10px; overflow-wrap: anywhere; }
video { display: block; width: 100%; image-rendering: pixelated; }
input { display: block; width: 100%; margin: 12px 0 8px; accent-color: #444; }
div { display: flex; align-items: center; gap: 10px; }
output { margin-right: auto; font-variant-numeric: tabular-nums; }
button, select { font: inherit; padding: 3px 10px; color: inherit; background: #f4f4f4; }
button, select { border: 1px solid #bbb; border-radius: 4px; }
button { min-width: 5em; }
</style>
<main>
<h1>@title@</h1>
<video muted loop autoplay playsinline src="data:video/mp4;base64,@video@"></video>
<input type="range" min="0" value="0" aria-label="frame">
<div>
<button type="button">Pause</button>
<output></output>
<label>speed <select>
<option value="0.25">1/4<option value="0.5">1/2<option value="1" selected>1
<option value="2">2<option value="4">4
</select></label>
</div>
</main>
<script>
"use strict";
const captions = @captions@;
const [video, slider, button, caption, speed] =
  ["video", "input", "button", "output", "select"].map(tag => document.querySelector(tag));
const count = captions.length;
slider.max = count - 1;
function show() {
  const place = Math.floor(video.currentTime / video.duration * count + 0.01);
  const frame = Math.min(count - 1, place) || 0;
  slider.value = frame;
  caption.value = captions[frame];
  button.textContent = video.paused ? "Play" : "Pause";
}
function follow() { show(); if (!video.paused) requestAnimationFrame(follow); }
slider.oninput = () => {
  video.pause();
  // the middle of the frame's time
  video.currentTime = (Number(slider.value) + 0.5) * video.duration / count;
  show();
};
button.onclick = () => { if (video.paused) video.play(); else video.pause(); };
speed.onchange = () => { video.playbackRate = Number(speed.value); };
video.onplay = follow;
video.onpause = video.onseeked = show;
video.onloadedmetadata = () => {
  document.documentElement.style.setProperty("--aspect", video.videoWidth / video.videoHeight);
  show();
};
show();
</script>
</html>
"""


def player(mp4: bytes, captions: Sequence[int | str], title: str = "Film of the weights") -> bytes:
    """A self-contained HTML page that plays a film: a slider, play and pause, the speed.

    The page asks no network and keeps nothing, so it works in a sandboxed frame that allows
    scripts.

    Parameters
    ----------
    mp4
        The bytes of a film, as `mp4` encodes it.
    captions
        One for each frame. A whole number is a step and reads "step 40".
    title
        The title of the page.

    Returns
    -------
    bytes
        The page.

    Raises
    ------
    UsageError
        If the captions are not as many as the frames, or the bytes are no MP4.
    """
    count = frame_count(mp4)
    if len(captions) != count:
        raise UsageError(
            f"A player takes one caption per frame, got {len(captions)} for {count} frames; pass "
            f"the steps."
        )
    texts = json.dumps([_caption(caption) for caption in captions])
    parts = {
        "title": html.escape(title),
        "captions": texts.replace("<", "\\u003c"),  # no caption can end the script
        "video": base64.b64encode(mp4).decode(),
    }
    # Text and names take turns. The page is split before anything is filled in, so a name within
    # what is filled in stays as it is.
    pieces = PAGE.split("@")
    pieces[1::2] = [parts[name] for name in pieces[1::2]]
    return "".join(pieces).encode()


def frame_count(mp4: bytes) -> int:
    """The number of frames that an MP4 declares in its index (ISO 14496-12, box `stsz`).

    Raises
    ------
    UsageError
        If there is no such box, as where the bytes are no MP4.
    """
    index = _boxes(mp4).get(b"moov", b"")
    at = index.find(b"stsz")
    if at < 0:
        raise UsageError(
            "A player takes the bytes of an MP4 and these hold no film; make them with film.mp4."
        )
    # After the name: version, one common size or 0, the count
    return int.from_bytes(index[at + 12 : at + 16], "big")


def _boxes(mp4: bytes) -> dict[bytes, bytes]:
    """The boxes of a file by their names: each begins with its size, 4 bytes, and its name, 4."""
    boxes = {}
    at = 0
    while at + 8 <= len(mp4):
        size = int.from_bytes(mp4[at : at + 4], "big")
        if size < 8:
            # No box is that small, so these bytes are something else.
            break
        boxes[mp4[at + 4 : at + 8]] = mp4[at : at + size]
        at += size
    return boxes


def _caption(caption: int | str) -> str:
    if isinstance(caption, str):
        return caption
    return f"step {caption}"
