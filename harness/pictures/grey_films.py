"""imageio's plugin for films of greys, which the encoder gets in its own format."""

import av
import numpy as np
from imageio.plugins.pyav import PyAVPlugin

_NO_COLOUR = 128


class GreyFilms(PyAVPlugin):
    """The plugin for frames (H, W) of one channel with even sides.

    The plugin as it is copies each frame and has it converted, which in a small film takes as long
    as its encoding. The film is the same, byte by byte.
    """

    def close(self) -> None:
        """Closes the film; what it holds has been handed out before.

        The plugin as it is collects garbage here, so that the threads of a graph of filters end.
        There is no such graph here. In a process with many objects that took longer than the film.
        """
        if self._container is not None:
            self._container.close()
        self.request.finish()

    def write_frame(self, frame: np.ndarray, *, pixel_format: str = "gray") -> None:
        """Adds a frame to the film; see the plugin."""
        stream = self._video_stream
        if not self.frames_written:
            stream.height, stream.width = frame.shape
            self._begin(*frame.shape)
        self._lines[...] = _brightness(frame)
        if stream.codec_context.time_base:
            self._picture.time_base = stream.codec_context.time_base
        self._picture.pts = self.frames_written
        self.frames_written += 1
        for packet in stream.encode(self._picture):
            self._container.mux(packet)

    def _begin(self, height: int, width: int) -> None:
        """Makes the picture of all frames: the encoder copies it before it asks for the next."""
        self._picture = av.VideoFrame(width, height, "yuv420p")
        brightness, *colours = self._picture.planes
        # Its lines may be longer than the picture is wide.
        lines = np.frombuffer(brightness, np.uint8).reshape(height, brightness.line_size)
        self._lines = lines[:, :width]
        for plane in colours:
            np.frombuffer(plane, np.uint8).fill(_NO_COLOUR)


def _brightness(greys: np.ndarray) -> np.ndarray:
    """16 + 219 * grey / 255, rounded: a video has no brightness below 16 or above 235."""
    wide = greys.astype(np.uint16)
    wide *= 219
    wide += 128
    # The quotient by 255 without a division, and in half the time that a table takes.
    wide += wide >> 8
    wide >>= 8
    wide += 16
    return wide
