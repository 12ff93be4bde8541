"""Reading videos: their kinds by content, each frame's own time, upright frames, and what is missing."""

import contextlib
import pathlib
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from jaxlm.landmarks import photos
from jaxlm.prediction.videos.kinds import is_video
from jaxlm.prediction.videos.reading import Frame, Video
from tiny_videos import KINDS, RATE, frame_with, write
from tolerances import assert_float64_close

MOVING = [frame_with((2 * index, 10), side=40) for index in range(30)]


def read(file: pathlib.Path) -> tuple[list[Frame], Video]:
    opened = Video(file)
    frames = list(opened.frames())
    opened.close()
    return frames, opened


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told_by_its_content_and_read(tmp_path: pathlib.Path, kind: str):
    """The pictures move by two pixels a frame; they are compared where the coding blurs no edge."""
    file = write(tmp_path / "clip.unknown", MOVING, kind=kind)
    assert is_video(file)
    frames, opened = read(file)
    assert (len(frames), opened.problem, opened.shape) == (30, "", (80, 120, 3))
    assert_float64_close([frame.time for frame in frames], np.arange(30) / RATE, depth=4)
    for frame, expected in zip(frames, MOVING, strict=True):
        inside = cv2.erode(expected, np.ones((9, 9))) + (255 - cv2.dilate(expected, np.ones((9, 9)))) > 0
        assert np.abs(frame.image.astype(int) - expected)[inside].max() < 60


def test_times_are_the_files_own(tmp_path: pathlib.Path):
    """As browsers and phones record: at uneven times, the first of them late."""
    times = [0.5, 0.51, 0.6, 1.6, 1.601, 4.0]
    for name in ("clip.mkv", "clip.webm", "clip.mp4"):
        frames, opened = read(write(tmp_path / name, MOVING[:6], times))
        assert ([frame.time for frame in frames], opened.problem) == (times, "")


def test_clocks_that_begin_anywhere_and_anew_are_set_right(tmp_path: pathlib.Path):
    """Two broadcasts in one file: the clock of the second begins anew, a day later."""
    files = [write(tmp_path / f"{delay}.ts", MOVING[:10], output_ts_offset=delay) for delay in ("50", "86400")]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(file.read_bytes() for file in files))
    frames, opened = read(both)
    # Differences of clocks that ran for a day.
    assert_float64_close([frame.time for frame in frames], np.arange(20) / RATE, depth=4, scale=86400)
    assert float(opened.start) == pytest.approx(50, abs=2)  # Muxers of .ts begin a second or two late.


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
)
def test_frames_are_upright_as_the_display_matrix_says(tmp_path: pathlib.Path, matrix, turned):
    """The matrix a b c d of x' = a x + c y, y' = b x + d y is written into the track's header."""
    image = frame_with((10, 5), (80, 40), side=30)
    file = write(tmp_path / "phone.mp4", [image] * 2)
    data = bytearray(file.read_bytes())
    start = data.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", data, start) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    a, b, c, d = (65536 * value for value in matrix)
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    file.write_bytes(data)
    (first, _), opened = read(file)
    assert first.image.shape == opened.shape
    assert np.abs(first.image.astype(int) - turned(image)).mean() < 5


def test_pixels_that_are_not_square_are_known(tmp_path: pathlib.Path):
    file = tmp_path / "wide.mov"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mjpeg", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 80, 120, "yuvj420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(MOVING[0], format="rgb24")))
        container.mux(stream.encode(None))
    assert read(file)[1].aspect == pytest.approx(4 / 3)


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: pathlib.Path):
    """A call whose picture grows: the packets of a second encoder follow those of the first."""
    images = [frame_with((20, 20), side=40), frame_with((40, 40), side=80, shape=(160, 240))]
    file = tmp_path / "call.webm"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libvpx", rate=RATE)
        encoders = [stream.codec_context, av.CodecContext.create("libvpx", "w")]
        for number, (image, encoder) in enumerate(zip(images, encoders, strict=True)):
            encoder.height, encoder.width = image.shape[:2]
            encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, RATE)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = number, encoder.time_base
            for packet in [*encoder.encode(picture), *encoder.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    frames, _ = read(file)
    assert [frame.image.shape for frame in frames] == [(80, 120, 3)] * 2
    assert np.abs(frames[1].image.astype(int) - images[0]).mean() < 5


# .mpg says nowhere how long it is, nor marks its end. The table of frames of .mp4 must be at the front; .mov and .3gp
# are the same.
@pytest.mark.parametrize(
    "kind", [".mp4", ".avi", ".mkv", ".webm", ".ts", ".wmv", ".flv", ".ogv", ".gif", ".apng", ".avif"]
)
@pytest.mark.parametrize("part", [0.95, 0.5])
def test_files_that_end_early_are_told(tmp_path: pathlib.Path, kind: str, part: float):
    rng = np.random.default_rng(0)
    images = [frame // 2 + rng.integers(0, 99, frame.shape, np.uint8) for frame in MOVING]
    options = {"movflags": "faststart"} if kind == ".mp4" else {}
    file = write(tmp_path / f"whole{kind}", images, **options)
    data = file.read_bytes()
    cut = tmp_path / f"cut{kind}"
    cut.write_bytes(data[: int(part * len(data))])
    assert is_video(cut)
    frames, opened = read(cut)
    assert 1 <= len(frames) <= 30
    assert f"{len(frames)} " in opened.problem
    assert "the file ends early" in opened.problem or "damaged" in opened.problem
    if kind in (".mp4", ".avi", ".avif"):
        assert f"{len(frames)} of 30 frames could be read" in opened.problem
    if kind in (".mkv", ".webm", ".flv"):
        assert f"{len(frames)} of about 30 frames could be read" in opened.problem


def test_damage_in_the_middle_is_told_and_the_rest_is_read(tmp_path: pathlib.Path):
    file = write(tmp_path / "a.mov", MOVING)
    with av.open(str(file)) as container:
        packet = [packet for packet in container.demux() if packet.size][12]
        place = packet.pos
    data = bytearray(file.read_bytes())
    data[place : place + packet.size] = bytes(packet.size)
    file.write_bytes(data)
    frames, opened = read(file)
    assert opened.problem == "29 of 30 frames could be read: 1 damaged"
    assert [round(frame.time * RATE) for frame in frames] == [index for index in range(30) if index != 12]


def test_files_that_are_no_video_are_named_with_the_reason(tmp_path: pathlib.Path):
    for name, data, why in [
        ("empty.mp4", b"", "the file is empty"),
        ("text.mp4", b"no video", "it is a text file"),
        ("page.mp4", b"<!DOCTYPE html><title>Not found</title>", "it is a web page"),
        ("zeros.mp4", bytes(5000), "its start holds nothing but zeros"),
        ("song.mp4", b"ID3\4\0" + bytes(99), "it holds sound alone"),
        ("cut.3gp", b"\0\0\0\x18ftyp3gp4", "Invalid data"),
        # A play list would make FFmpeg open the files that it names.
        (
            "list.mp4",
            f"ffconcat version 1.0\nfile '{write(tmp_path / 'a.avi', MOVING[:2])}'\n".encode(),
            "it is a text file",
        ),
    ]:
        (tmp_path / name).write_bytes(data)
        assert is_video(tmp_path / name)
        with pytest.raises(photos.PhotoError, match=f"{name} is not a readable video: .*{why}"):
            Video(tmp_path / name)
    with pytest.raises(photos.PhotoError, match=r"none\.mp4 is missing"):
        Video(tmp_path / "none.mp4")


def test_what_is_no_video_is_known_by_its_content(tmp_path: pathlib.Path):
    photo = MOVING[0][:, :, ::-1]
    for name in ("photo.jpg", "photo.png", "photo.bmp", "photo.tif", "photo.webp", "still.gif", "still.avif"):
        assert cv2.imwrite(str(tmp_path / name), photo)
        assert not is_video(tmp_path / name)
    # Their endings say otherwise.
    for kind, options in (
        (".jp2", []),
        (".ppm", []),
        (".pgm", []),
        (".pbm", []),
        (".ppm", [cv2.IMWRITE_PXM_BINARY, 0]),
    ):
        grey = photo if kind in (".jp2", ".ppm") else photo[:, :, 0]
        (tmp_path / "named.mp4").write_bytes(cv2.imencode(kind, grey, options)[1].tobytes())
        assert not is_video(tmp_path / "named.mp4")
        assert photos.read_photo(tmp_path / "named.mp4").shape == photo.shape
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.mp4")
    assert not is_video(tmp_path / "photo.mp4")
    (tmp_path / "notes.ts").write_text("const answer = 42;\n" * 99)
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with av.open(str(tmp_path / "song.ogg"), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), format="s16", layout="mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert not any(is_video(tmp_path / name) for name in ("notes.ts", "photo.heic", "song.ogg"))


def test_a_file_of_sound_under_the_name_of_a_video_is_called_so(tmp_path: pathlib.Path):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(photos.PhotoError, match=r"song\.mp4 is not a readable video: it holds sound alone"):
        Video(tmp_path / "song.mp4")


def test_huge_frames_are_refused_before_they_are_decoded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    files = [write(tmp_path / f"a{kind}", MOVING[:2]) for kind in (".mp4", ".avi", ".gif", ".webm")]
    monkeypatch.setattr(photos, "MAX_PIXELS", 120 * 80 - 1)
    for file in files:
        with pytest.raises(photos.PhotoError, match="not a readable video"):
            Video(file)


def test_an_animated_png_with_a_colour_profile_is_a_video(tmp_path: pathlib.Path):
    """Its mark stands behind the profile, further from the start than FFmpeg looks for it."""
    rng = np.random.default_rng(0)
    profile = rng.bytes(3000)
    first, second = (Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)) for _ in range(2))
    file = tmp_path / "two.png"
    first.save(file, save_all=True, append_images=[second], icc_profile=profile)
    assert 2048 < file.read_bytes().find(b"acTL") < 4096
    assert is_video(file)
    with contextlib.closing(Video(file)) as video:
        frames = list(video.frames())
    np.testing.assert_array_equal([frame.image for frame in frames], [np.asarray(first), np.asarray(second)])
