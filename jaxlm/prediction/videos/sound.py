"""The sound of a video for a copy of it: its packets as they are, or coded anew. A file in; packets to write out."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import av.audio
import av.container

# What browsers play in .mp4; other sound is coded anew, as AAC.
_COPIED = ("aac", "mp3", "opus", "flac")
_USUAL_RATE = 48_000


def packets(
    source: av.container.InputContainer, target: av.container.OutputContainer, start: Fraction
) -> Iterator[av.Packet]:
    """The packets of the sound, which is added to `target` as a stream; none where `source` has no sound.

    Their times rise. What is damaged is left out.

    Args:
      source: The container of the video, opened for this alone.
      target: What is written, before its first packet.
      start: What is subtracted from the times of the source, in seconds.

    Raises:
      ValueError: The sound is in a coding that FFmpeg does not know.
    """
    stream = source.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        return iter(())
    if stream.codec_context is None or not stream.rate:
        raise ValueError("its coding is not known")
    if stream.codec_context.name.removesuffix("float") in _COPIED and _has_good_header(stream):
        return _rising(_copied(source, stream, target.add_stream_from_template(stream), start))
    rate = stream.rate if stream.rate in (av.Codec("aac", "w").audio_rates or ()) else _USUAL_RATE
    coded = target.add_stream("aac", rate=rate, layout="mono" if stream.channels == 1 else "stereo")
    return _rising(_coded(source, stream, coded, start))


def _has_good_header(stream: av.AudioStream) -> bool:
    """Whether the header of the sound can be written to .mp4; it would be found to be damaged only at the end."""
    try:
        with av.open(io.BytesIO(), "w", format="mp4", options={"movflags": "empty_moov"}) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _copied(
    source: av.container.InputContainer, stream: av.AudioStream, copy: av.AudioStream, start: Fraction
) -> Iterator[av.Packet]:
    for packet in _packets_of(source, stream):
        if packet.dts is not None:
            shift = round(start / stream.time_base) if stream.time_base else 0
            packet.pts = (packet.dts if packet.pts is None else packet.pts) - shift
            packet.dts -= shift
            packet.stream = copy
            yield packet


def _coded(
    source: av.container.InputContainer, stream: av.AudioStream, coded: av.AudioStream, start: Fraction
) -> Iterator[av.Packet]:
    setup: tuple[str, str, int] | None = None
    for packet in _packets_of(source, stream):
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(start / frame.time_base)
            # Broadcasts go from two channels to six and back.
            if setup != (setup := (frame.format.name, frame.layout.name, frame.sample_rate)):
                resampler = av.AudioResampler(coded.format, coded.layout, coded.rate)
            for sound in resampler.resample(frame):
                yield from coded.encode(sound)
    yield from coded.encode(None)


def _packets_of(source: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.Packet]:
    """The packets of a stream, up to where the file can be read."""
    found = source.demux(stream)
    while True:
        try:
            packet = next(found, None)
        except (av.FFmpegError, OSError):
            return
        if packet is None:
            return
        if packet.size:
            yield packet


def _rising(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """The packets without those that come no later than one before."""
    last: int | None = None
    for packet in packets:
        if packet.dts is not None and (last is None or packet.dts > last):
            last = packet.dts
            yield packet
