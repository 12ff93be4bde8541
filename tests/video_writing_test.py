"""Writing videos: what browsers play, at the source's times, with its sound, and under its name only when whole."""

import contextlib
import pathlib
import resource
import signal

import av
import numpy as np
import pytest

from jaxlm.prediction.videos import writing
from jaxlm.prediction.videos.reading import Video
from jaxlm.prediction.videos.writing import Writer
from tiny_videos import frame_with, write
from tolerances import assert_float64_close

MOVING = [frame_with((2 * index, 10), side=40) for index in range(10)]


def copy(source: pathlib.Path, target: pathlib.Path) -> Writer:
    """Writes a video's frames as they are."""
    with contextlib.closing(Video(source)) as opened, Writer(target, opened) as writer:
        for frame in opened.frames():
            writer.write(frame)
    return writer


def pictures(file: pathlib.Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(file)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time for frame in frames]


def tone(file: pathlib.Path) -> tuple[str, float, float]:
    """The coding of a file's sound, its length in seconds, and its loudest frequency in Hz."""
    with av.open(str(file)) as container:
        stream = container.streams.audio[0]
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in container.decode(stream)])
        loudest = np.abs(np.fft.rfft(samples)).argmax() * stream.rate / len(samples)
        return stream.codec_context.name, len(samples) / stream.rate, float(loudest)


@pytest.mark.parametrize("encoder", ["libx264", "libvpx-vp9"])
def test_the_copy_is_what_browsers_play(tmp_path: pathlib.Path, encoder: str, monkeypatch: pytest.MonkeyPatch):
    """In .mp4: H.264, or VP9 where FFmpeg has no encoder for it; colours by half; the table in front of the frames."""
    monkeypatch.setattr(writing, "ENCODERS", {encoder: writing.ENCODERS[encoder]})
    writer = copy(write(tmp_path / "a.mkv", MOVING), tmp_path / "b.mp4")
    data = writer.file.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(writer.file)) as container:
        context = container.streams.video[0].codec_context
        assert context.codec.canonical_name == {"libx264": "h264", "libvpx-vp9": "vp9"}[encoder]
        assert (context.pix_fmt, context.width, context.height) == ("yuv420p", 120, 80)
    images, times = pictures(writer.file)
    assert_float64_close(times, np.arange(10) / 25, depth=4)
    assert max(np.abs(one.astype(int) - other).mean() for one, other in zip(images, MOVING, strict=True)) < 6


def test_frames_keep_their_times_and_the_last_one_its_length(tmp_path: pathlib.Path):
    times = [0.5, 0.51, 0.6, 1.6, 1.601, 4.0]
    writer = copy(write(tmp_path / "a.mkv", MOVING[:6], times), tmp_path / "b.mp4")
    assert pictures(writer.file)[1] == times
    with av.open(str(writer.file)) as container:
        assert container.duration / av.time_base == pytest.approx(4.04 - 0.5)


@pytest.mark.parametrize("shape", [(81, 121), (1, 1), (8, 300)])
def test_sides_are_filled_up_at_the_right_and_at_the_bottom(tmp_path: pathlib.Path, shape: tuple[int, int]):
    image = np.full((*shape, 3), (200, 100, 50), np.uint8)
    writer = copy(write(tmp_path / "a.mkv", [image] * 2), tmp_path / "b.mp4")
    (first, _), _ = pictures(writer.file)
    assert first.shape == (*(max(side + side % 2, 16) for side in shape), 3)
    assert np.abs(first.astype(int) - (200, 100, 50)).max() < 8


@pytest.mark.parametrize(
    ("source", "encoder", "expected"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.mkv", "flac", "flac"),
        ("a.webm", "libopus", "opus"),
        ("a.ts", "aac", "aac"),
        ("a.ts", "mp2", "aac"),
        ("a.avi", "pcm_s16le", "aac"),
        ("a.mkv", "ac3", "aac"),
    ],
)
def test_sound_is_kept(tmp_path: pathlib.Path, source: str, encoder: str, expected: str):
    """What browsers play in .mp4 as it is, bit by bit; other sound is coded anew."""
    file = write(tmp_path / source, MOVING * 5, sound=encoder)
    writer = copy(file, tmp_path / "b.mp4")
    assert writer.silent == ""
    name, length, loudest = tone(writer.file)
    assert name == expected
    assert length == pytest.approx(2, abs=0.1)  # Encoders fill up their last block.
    assert loudest == pytest.approx(440, abs=1)  # Two seconds tell half a hertz.
    if encoder == expected and source != "a.ts":
        kept, given = [], []
        for path, packets in ((writer.file, kept), (file, given)):
            with av.open(str(path)) as container:
                packets += [bytes(packet) for packet in container.demux(audio=0) if packet.size]
        assert kept == given


def test_damaged_sound_does_not_take_away_the_pictures(tmp_path: pathlib.Path):
    """The header of Opus, without which .mp4 cannot be written, has a name in the WebM that nobody knows."""
    file = write(tmp_path / "a.webm", MOVING, sound="libopus")
    data = file.read_bytes()
    place = data.index(b"OpusHead") - 3
    assert data[place : place + 2] == b"\x63\xa2"
    file.write_bytes(data[:place] + b"\x63\xa9" + data[place + 2 :])
    writer = copy(file, tmp_path / "b.mp4")
    assert len(pictures(writer.file)[0]) == 10


def test_sound_and_pictures_stay_together(tmp_path: pathlib.Path):
    """The clock of a broadcast begins anywhere; the copy's begins at 0."""
    file = write(tmp_path / "a.ts", MOVING * 5, sound="mp2", output_ts_offset="5000")
    writer = copy(file, tmp_path / "b.mp4")
    starts = {}
    for path in (file, writer.file):
        for kind in ("video", "audio"):
            with av.open(str(path)) as container:
                starts[path, kind] = next(container.decode(**{kind: 0})).time
    assert starts[file, "video"] > 4999
    earlier = [starts[path, "video"] - starts[path, "audio"] for path in (file, writer.file)]
    # Times of a file are whole milliseconds.
    assert earlier[1] == pytest.approx(earlier[0], abs=0.001)
    assert starts[writer.file, "audio"] == pytest.approx(0, abs=0.001)


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: pathlib.Path):
    source, target = write(tmp_path / "a.mkv", MOVING), tmp_path / "out" / "b.mp4"
    target.parent.mkdir()
    target.write_bytes(b"earlier")

    def interrupted() -> None:
        with contextlib.closing(Video(source)) as opened, Writer(target, opened) as writer:
            for frame in opened.frames():
                writer.write(frame)
                assert target.read_bytes() == b"earlier"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(file.name, file.read_bytes()) for file in target.parent.iterdir()] == [("b.mp4", b"earlier")]
    copy(source, target)
    assert [file.name for file in target.parent.iterdir()] == ["b.mp4"]
    assert len(pictures(target)[0]) == 10


def test_a_file_that_cannot_be_written_is_named(tmp_path: pathlib.Path):
    source = write(tmp_path / "a.mkv", MOVING)
    with pytest.raises(OSError, match=r"the video could not be written: No such file .*none/b\.mp4"):
        copy(source, tmp_path / "none" / "b.mp4")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: pathlib.Path):
    """A limit on the size of files stands in for it."""
    images = list(np.random.default_rng(0).integers(0, 256, (20, 80, 120, 3), np.uint8))
    source, before = write(tmp_path / "a.mkv", images), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        with pytest.raises(OSError, match=r"the video could not be written: File too large: .*b\.mp4"):
            copy(source, tmp_path / "b.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mkv"]
