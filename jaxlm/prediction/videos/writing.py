"""Writes videos that browsers play, through PyAV (FFmpeg): H.264 in .mp4, frames at their own times, and the sound."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol

import av
import av.container
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from jaxlm.files import unfinished_beside
from jaxlm.prediction.videos import kinds, sound
from jaxlm.prediction.videos.reading import Frame

ENCODERS = {
    # Without B-frames: with them, .mp4 says too short a length of videos whose frames come at uneven times.
    "libx264": {"preset": "veryfast", "crf": "20", "bf": "0"},
    "libopenh264": {"rc_mode": "quality"},
    "libvpx-vp9": {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6"},
}
"""The encoders, best first, with their options. A build of FFmpeg need not have them all. VP9 plays in .mp4, too."""

# The finest clock that is written; frames of finer ones move by less than a millionth of a second.
_FINEST = Fraction(1, 1_000_000)
_COARSEST = 1000
# Encoders take no smaller pictures.
_LEAST_SIDE = 16
_BT709 = 1


class Source(Protocol):
    """What a video is written from: a `Video` or a `Camera`."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def rate(self) -> Fraction: ...
    @property
    def time_base(self) -> Fraction: ...
    @property
    def start(self) -> Fraction: ...
    @property
    def aspect(self) -> Fraction: ...
    @property
    def sound(self) -> pathlib.Path | None: ...


class Writer:
    """Writes a copy of a video, inside of `with`. It gets its name once it is whole; after an error there is none.

    Sides that are odd, or below 16, are filled up at the right and at the bottom: players want even ones.

    Attributes:
      file: The file, an .mp4.
      silent: Why the copy lacks the sound of the video; "" where it does not.
    """

    def __init__(self, file: pathlib.Path, source: Source) -> None:
        """Writes `file` for frames of the shape, the clock and the sound of `source`."""
        self.file, self.silent = file, ""
        self._source = source
        self._time_base = max(source.time_base, _FINEST)
        self._last = -1

    def __enter__(self) -> Writer:
        """Opens the file; raises OSError where it cannot be written."""
        with contextlib.ExitStack() as closing, self._told():
            self._part = closing.enter_context(unfinished_beside(self.file))
            self._handle = _File(self._part)
            closing.callback(self._handle.close)
            ticks = self._time_base.denominator
            # The first frame's time is written in ticks of the film, by default only thousandths of a second.
            options = {"movflags": "faststart", "movie_timescale": str(ticks * -(-_COARSEST // ticks))}
            self._container = av.open(self._handle, "w", format="mp4", options=options, io_open=self._read_again)
            closing.callback(self._container.close)
            self._pictures = self._add_pictures()
            self._sound = self._add_sound(closing)
            self._next = next(self._sound, None)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._told(), self._closing:
            if kind is not None:
                # Without its file, the container is closed as it is.
                self._handle.close()
                return
            self._container.mux(self._pictures.encode(None))
            self._write_sound(None)
            self._container.close()
            self._handle.check()
            self._handle.close()
            os.replace(self._part, self.file)

    def write(self, frame: Frame) -> None:
        """Writes the next frame, and the sound up to it; raises OSError where it cannot be written."""
        picture = av.VideoFrame.from_ndarray(_filled(frame.image), format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        self._last = max(round(Fraction(frame.time) / self._time_base), self._last + 1)
        picture.pts, picture.time_base = self._last, self._time_base
        picture.duration = round(Fraction(frame.duration) / self._time_base)
        with self._told():
            self._container.mux(self._pictures.encode(picture))
            self._write_sound(frame.time)
            self._handle.check()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of writing with the file's name."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            why = kinds.said_by(error)
            raise OSError(
                getattr(error, "errno", None), f"the video could not be written: {why}", str(self.file)
            ) from error

    def _read_again(self, *_: object) -> Any:
        """The file, from which FFmpeg moves what follows its table, so that players need not load it to the end."""
        return open(self._part, "rb")

    def _add_pictures(self) -> av.VideoStream:
        name = next((name for name in ENCODERS if name in av.codecs_available), None)
        if name is None:
            raise OSError(f"this build of PyAV has none of the encoders {', '.join(ENCODERS)}")
        stream = self._container.add_stream(name, rate=self._source.rate, options=ENCODERS[name])
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = (_side(side) for side in self._source.shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = self._time_base
        stream.codec_context.sample_aspect_ratio = self._source.aspect
        context = stream.codec_context
        context.color_range, context.colorspace = ColorRange.MPEG, _BT709
        context.color_primaries = context.color_trc = _BT709
        return stream

    def _add_sound(self, closing: contextlib.ExitStack) -> Iterator[av.Packet]:
        """The packets of the sound, for which the source's file is read once more."""
        if self._source.sound is None:
            return iter(())
        try:
            container = closing.enter_context(kinds.opened(closing.enter_context(self._source.sound.open("rb"))))
            return sound.packets(container, self._container, self._source.start)
        except (av.FFmpegError, ValueError) as error:
            self.silent = str(error)
            return iter(())

    def _write_sound(self, until: float | None) -> None:
        """Writes the packets of the sound up to a time in seconds, or all."""
        while (packet := self._next) is not None and (until is None or (packet.dts or 0) * packet.time_base <= until):
            self._container.mux_one(packet)
            self._next = next(self._sound, None)


class _File:
    """The file that FFmpeg writes to. It keeps the first error, such as a full disk, which FFmpeg would lose."""

    def __init__(self, path: pathlib.Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest and self._error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()

    def check(self) -> None:
        """Raises the error that was kept."""
        if self._error is not None:
            raise self._error


def _side(side: int) -> int:
    return max(side + side % 2, _LEAST_SIDE)


def _filled(image: np.ndarray) -> np.ndarray:
    """The image [H, W, 3], its last row and column repeated up to the sides that are written."""
    more = [(0, _side(side) - side) for side in image.shape[:2]]
    return np.pad(image, [*more, (0, 0)], mode="edge") if np.any(more) else image
