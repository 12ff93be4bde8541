"""Reads videos, through PyAV (FFmpeg): upright frames, each with its own time, and what is missing of them."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import SideData

from jaxlm.landmarks import photos
from jaxlm.prediction.videos import kinds

_USUAL_RATE = Fraction(25)
# Rates that containers without one pretend to, as browsers' WebM its 1000 a second, are above this.
_HIGHEST_RATE = 480
# Clocks of broadcasts start anew; a step that is longer than this many seconds is none.
_LONGEST_STEP = 10
# Files of one length in seconds for all of their streams end so much earlier: the last packets have no length.
_SLACK = Fraction(1, 10)
# FFmpeg's AVFMT_TS_DISCONT.
_TS_DISCONT = 0x200
_CUT = ("ended prematurely", "partial file")


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
      image: RGB uint8 [H, W, 3].
      time: When it is shown, in seconds.
      duration: How long it is shown, in seconds; 0 where the file does not say.
    """

    image: np.ndarray
    time: float
    duration: float = 0.0


class Video:
    """An open video, whose frames are read as they are asked for; to be closed.

    Attributes:
      path: Its file.
      shape: The shape of every frame [H, W, 3], upright. Frames of another size are scaled to that of the first.
      count: How many frames it has, as far as the file tells; 0 if it does not.
      rate: Frames a second in the mean, as the file says, or a usual rate. Times do not follow from it.
      time_base: Times are multiples of so many seconds.
      start: What was subtracted from the file's own times, in seconds: the start of a clock that does not begin at 0.
      aspect: Width of a pixel / its height, as it is to be shown.
      sound: The file that has its sound.
      problem: What is missing, once the frames have been read; "" where they were all good.
    """

    def __init__(self, path: pathlib.Path) -> None:
        """Opens a video and reads its first frame; raises PhotoError where it is missing, is none or holds none."""
        if not path.is_file():
            raise photos.PhotoError(f"the video {path} is missing")
        self.path = self.sound = path
        self.problem = ""
        self._closing = contextlib.ExitStack()
        try:
            self._file = self._closing.enter_context(path.open("rb"))
            self._container = self._closing.enter_context(kinds.opened(self._file))
            self._open()
        except (av.FFmpegError, OSError, photos.PhotoError) as error:
            self.close()
            raise photos.PhotoError(f"{path} is not a readable video: {kinds.said_by(error)}") from error

    def _open(self) -> None:
        stream = kinds.pictures_of(self._container)
        if stream is None:
            sound = self._container.streams.audio and not self._container.streams.video
            why = "it holds sound alone" if sound else "it holds no pictures, or in a coding that FFmpeg does not know"
            raise photos.PhotoError(why)
        self._stream = stream
        stream.codec_context.options = {"max_pixels": str(photos.MAX_PIXELS)}
        stream.thread_type = "AUTO"
        self.time_base = stream.time_base or 1 / _USUAL_RATE
        rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        self.rate = rate if rate <= _HIGHEST_RATE else _USUAL_RATE
        self._read, self._damaged, self._packed = 0, 0, 0
        self._end, self._last_byte, self._cut = 0.0, 0, ""
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            raise photos.PhotoError(self._cut or "none of its frames can be decoded")
        self._first = first
        own = Fraction(self._container.start_time or 0, av.time_base) if self._jumps() else Fraction(0)
        own = own or min((self._first.pts or 0) * self.time_base, Fraction(0))
        self.start = round(own / self.time_base) * self.time_base
        # PyAV 18 frees the metadata of side data twice, which frames of PNG files with a colour profile have.
        is_png = self._container.format.name == "apng"
        self._display = np.eye(2, dtype=int) if is_png else _display(self._first)
        self.shape = self._upright(self._first).shape
        aspect = stream.sample_aspect_ratio or Fraction(1)
        self.aspect = aspect if self._display[0, 0] else 1 / aspect
        self.count = stream.frames or round(self._length() * self.rate)

    def close(self) -> None:
        self._closing.close()

    def frames(self) -> Iterator[Frame]:
        """The frames, once, in the order of their times, which rise strictly."""
        clock = _Clock(self.start, self.time_base, 1 / self.rate, self._jumps())
        for frame in itertools.chain((self._first,), self._decoded):
            time = clock.time(frame.pts)
            try:
                image = self._upright(frame)
            except av.FFmpegError:
                self._damaged += 1
                continue
            self._read += 1
            self._damaged += frame.is_corrupt
            yield Frame(image, float(time), float((frame.duration or 0) * self.time_base))
        self.problem = self._missing()

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame as RGB uint8 [H, W, 3], scaled to the size of the first, turned and mirrored as that asks."""
        image = frame.to_ndarray(format="rgb24", width=self._first.width, height=self._first.height)
        if not self._display[0, 0]:
            image = image.transpose(1, 0, 2)
        across, down = self._display.sum(axis=1)
        return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])

    def _jumps(self) -> bool:
        """Whether times of its kind of file begin anywhere and may start anew."""
        return bool(self._container.format.flags & _TS_DISCONT)

    def _decode(self) -> Iterator[av.VideoFrame]:
        """The frames that can be decoded; what cannot be is counted."""
        for packet in self._packets():
            try:
                yield from self._stream.codec_context.decode(packet)
            except av.FFmpegError:
                self._damaged += 1
        with contextlib.suppress(av.FFmpegError):
            yield from self._stream.codec_context.decode(None)

    def _packets(self) -> Iterator[av.Packet]:
        """The packets with pictures; passes over the others, and notes where they end and whether the file is cut."""
        packets = self._container.demux()
        while True:
            try:
                with kinds.errors() as said:
                    packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self._cut = kinds.said_by(error)
                return
            for name, message in said:
                # Parsers of pictures have names of their own, and complain of broadcasts that begin in mid-scene.
                if name == self._container.format.name:
                    cut = any(words in message for words in _CUT)
                    self._cut = "the file ends early" if cut else self._cut or f"{name}: {message}"
            if packet is None:
                return
            if packet.size:
                self._note(packet)
                if packet.stream is self._stream:
                    self._packed += not packet.is_discard
                    yield packet

    def _note(self, packet: av.Packet) -> None:
        """Where the last packet ends, in seconds and in bytes; without a length of its own, other streams count."""
        time, own = packet.dts if packet.pts is None else packet.pts, packet.stream is self._stream
        if time is not None and packet.time_base and (own or not self._stream.duration):
            length = packet.duration * packet.time_base if packet.duration else own / self.rate
            self._end = max(self._end, float(time * packet.time_base + length))
        if packet.pos is not None:
            self._last_byte = max(self._last_byte, packet.pos + packet.size)

    def _length(self) -> float:
        """When its last packet ends by what the file says, in seconds; 0 where it says nothing, or what FFmpeg saw."""
        kind = self._container.format.name
        if kind == "avi":
            return float(self._stream.frames / (self._stream.average_rate or _USUAL_RATE))
        if self._stream.duration and kind.startswith("mov"):
            return float((self._stream.duration + (self._stream.start_time or 0)) * self.time_base)
        known = kind.startswith("matroska") or kind == "flv"
        return (self._container.duration or 0) / av.time_base if known else 0.0

    def _missing(self) -> str:
        """What is missing of a video whose frames have been read."""
        why = self._cut
        # Frames of .avi are counted; lengths of other files are rounded, or those of sound.
        slack = 0.5 / self.rate if self._container.format.name == "avi" else 1.5 / self.rate + _SLACK
        ends_early = self._end < self._length() - slack
        if not why and (ends_early or kinds.lacks_end(self._file, self._container.format.name, self._last_byte)):
            why = "the file ends early"
        # Each packet of these files shows one frame; some decoders pass over damaged ones.
        lost = self._packed - self._read if self._container.format.name.startswith("mov") else 0
        damaged = max(self._damaged, lost)
        reasons = [why, f"{damaged} damaged" if damaged else ""]
        if not any(reasons):
            return ""
        first, total = float((self._first.pts or 0) * self.time_base), self._stream.frames
        if not total and self._end > first:
            total = round(self._read * (self._length() - first) / (self._end - first))
        of = f"of {'' if self._stream.frames else 'about '}{total} frames" if total > self._read else "frames"
        return f"{self._read} {of} could be read: {', '.join(filter(None, reasons))}"


class _Clock:
    """Times of frames, in seconds: those of the file from its start, made to rise."""

    def __init__(self, start: Fraction, tick: Fraction, step: Fraction, jumps: bool) -> None:
        self._start, self._tick, self._step, self._jumps = start, tick, step, jumps
        self._last: Fraction | None = None

    def time(self, pts: int | None) -> Fraction:
        """The time of the next frame, by its stamp in ticks."""
        last = self._last
        if last is None:
            self._last = (pts or 0) * self._tick - self._start
            return self._last
        time = last + self._step if pts is None else pts * self._tick - self._start
        if self._jumps and abs(time - last) > _LONGEST_STEP:
            self._start += time - last - self._step
            time = last + self._step
        self._last = max(time, last + self._tick)
        return self._last


def _display(frame: av.VideoFrame) -> np.ndarray:
    """How a frame is to be turned and mirrored: x' and y' [2] by x and y [2], each 0, 1 or -1."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return np.eye(2, dtype=int)
    values = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].T / 2**16
    lying = np.abs(np.diag(values)).sum() < np.abs(values).sum() / 2
    return (np.sign(values) * (np.eye(2)[::-1] if lying else np.eye(2))).astype(int)
