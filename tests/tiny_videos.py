"""Videos of a few small frames, made on the spot by PyAV; and a detector of bright squares in them."""

import pathlib
from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np

from jaxlm.landmarks.schemes import FIVE
from jaxlm.prediction import Face
from jaxlm.prediction.detectors import overlap

RATE = 25

# A muxer and an encoder for each kind of file, and the encoder's kind of pixels.
KINDS = {
    ".mp4": ("mp4", "libx264", "yuv420p"),
    ".mov": ("mov", "mjpeg", "yuvj420p"),
    ".3gp": ("3gp", "mpeg4", "yuv420p"),
    ".avi": ("avi", "mpeg4", "yuv420p"),
    ".mkv": ("matroska", "ffv1", "bgr0"),
    ".webm": ("webm", "libvpx", "yuv420p"),
    ".ts": ("mpegts", "mpeg2video", "yuv420p"),
    ".mpg": ("mpeg", "mpeg2video", "yuv420p"),
    ".wmv": ("asf", "wmv2", "yuv420p"),
    ".flv": ("flv", "flv1", "yuv420p"),
    ".ogv": ("ogg", "libvpx", "yuv420p"),
    ".gif": ("gif", "gif", "rgb8"),
    ".apng": ("apng", "apng", "rgb24"),
    ".avif": ("avif", "libsvtav1", "yuv420p"),
}


def write(
    file: pathlib.Path,
    frames: Sequence[np.ndarray],
    times: Sequence[float] | None = None,
    sound: str | None = None,
    kind: str = "",
    **options: str,
) -> pathlib.Path:
    """Writes frames RGB uint8 [H, W, 3] to a video of the kind that its ending, or `kind`, names.

    Args:
      file: The file.
      frames: The frames.
      times: When each is shown, in seconds; steadily, if not given.
      sound: The encoder of a tone of 440 Hz as long as the frames.
      kind: An ending of `KINDS`.
      options: Options of the muxer.
    """
    muxer, encoder, pixels = KINDS[kind or file.suffix]
    with av.open(str(file), "w", format=muxer, options=options) as container:
        stream = container.add_stream(encoder, rate=RATE)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        tick = Fraction(1, RATE if times is None else 1000)
        if times is not None:
            stream.time_base = stream.codec_context.time_base = tick
        tone = None if sound is None else container.add_stream(sound, rate=48_000, layout="mono")
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.time_base = tick
            picture.pts = index if times is None else round(times[index] / tick)
            container.mux(stream.encode(picture))
            if tone is not None:
                container.mux(tone.encode(_tone(index)))
        container.mux(stream.encode(None))
        if tone is not None:
            container.mux(tone.encode(None))
    return file


def _tone(index: int) -> av.AudioFrame:
    """The part of the tone that belongs to a frame."""
    count = 48_000 // RATE
    wave = np.sin(2 * np.pi * 440 * np.arange(index * count, (index + 1) * count) / 48_000)
    frame = av.AudioFrame.from_ndarray((8000 * wave).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48_000, index * count, Fraction(1, 48_000)
    return frame


def frame_with(*corners: tuple[int, int], side: int = 20, shape: tuple[int, int] = (80, 120)) -> np.ndarray:
    """A black frame with white squares, whose corners at the top left are given as (x, y)."""
    frame = np.zeros((*shape, 3), np.uint8)
    for x, y in corners:
        frame[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = 255
    return frame


class Squares:
    """Stands in for a Landmarker: finds bright squares; a face's points are the corners and the centre of its own."""

    calibrations: dict[str, tuple[float, ...]] = {}  # noqa: RUF012
    scheme = FIVE

    def __init__(self, confidence: bool = True) -> None:
        self.looks, self.confidence = 0, confidence

    def detect(self, frame: np.ndarray) -> np.ndarray:
        self.looks += 1
        _, _, stats, _ = cv2.connectedComponentsWithStats((frame[:, :, 0] > 127).astype(np.uint8))
        corner, size = stats[1:, :2], stats[1:, 2:4]
        return np.concatenate([corner, corner + size - 1], axis=1).astype(np.float32)

    def predict(self, frame: np.ndarray, boxes: np.ndarray) -> list[Face]:
        squares = self.detect(frame)
        self.looks -= 1
        return [self._face(np.asarray(box), squares) for box in boxes]

    def sees(self, face: Face) -> bool:
        return face.confidence is None or face.confidence.mean() > 0.5

    def _face(self, box: np.ndarray, squares: np.ndarray) -> Face:
        box = box[:4]
        shared = overlap(box, squares)
        found = len(squares) and shared.max() > 0.1
        x1, y1, x2, y2 = squares[shared.argmax()] if found else box
        points = np.float32([[x1, y1], [x2, y1], [(x1 + x2) / 2, (y1 + y2) / 2], [x1, y2], [x2, y2]])
        return Face(box, points, np.full(5, float(found), np.float32) if self.confidence else None, FIVE)
