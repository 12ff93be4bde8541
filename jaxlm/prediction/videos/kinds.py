"""Which files are videos, by their bytes; opens them by PyAV (FFmpeg); whether their ends are there."""

from __future__ import annotations

import contextlib
import enum
import os
import pathlib
import re
from collections.abc import Iterator
from typing import BinaryIO

import av
import av.container
import av.logging
import av.stream

from jaxlm.landmarks import photos
from jaxlm.landmarks.photo_decoding import content_of

_ENDINGS = (
    "3g2 3gp asf avi divx dv f4v flv m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogm ogv qt rm rmvb vob webm wmv"
)
ENDINGS = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""Endings of files that are taken for videos where their bytes do not say what they are."""

# FFmpeg's names of what is read. Play lists are not among them: they make it open files and addresses named inside.
_DEMUXERS = (
    "apng,asf,av1,avi,dv,flv,gif,gxf,h264,hevc,ivf,m4v,matroska,mov,mpeg,mpegts,mpegvideo,mxf,obu,ogg,rm,wtv,"
    "yuv4mpegpipe"
)

# So many bytes at a file's start say what it is.
_HEAD = 4096

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_VIDEOS = (
    b"\x1a\x45\xdf\xa3",
    b"OggS",
    b"FLV\x01",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b".RMF",
    b"YUV4MPEG2",
    b"DKIF",
    _ASF,
    bytes.fromhex("060e2b34"),
    b"nut/multimedia container",
)
_PHOTOS = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cJXL ", b"\xff\x0a", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
_PPM = re.compile(rb"P[1-7][ \t\r\n#]")
_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
# ISO files of photos, and of sequences of photos.
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"miaf")


class _Kind(enum.Enum):
    """What a file is: a photo, a picture that may move, or a film or sound."""

    PHOTO = enum.auto()
    PICTURES = enum.auto()
    FILM = enum.auto()


def is_video(path: pathlib.Path) -> bool:
    """Whether a file is a video, by its content; by its ending where the content does not say.

    A GIF, an AVIF, a HEIF or a PNG of one frame is a photo. So is a damaged one; other damaged videos are videos.
    """
    by_ending = path.suffix.lower() in ENDINGS
    if not os.path.isfile(path):  # Path.is_file raises where a name is too long.
        return by_ending
    try:
        with open(path, "rb") as file:
            kind = _kind_of(file.read(_HEAD))
            if kind is None or kind is _Kind.PHOTO:
                return kind is None and by_ending
            with opened(file) as container:
                stream = pictures_of(container)
                if kind is _Kind.FILM:
                    return stream is not None or by_ending
                sizes = (packet.size for packet in container.demux(stream)) if stream else ()
                return sum(size > 0 for size, _ in zip(sizes, range(2), strict=False)) == 2
    except (av.FFmpegError, photos.PhotoError):
        return kind is _Kind.FILM
    except OSError:
        return by_ending


def opened(file: BinaryIO) -> av.container.InputContainer:
    """The container in an open file, from its start. FFmpeg opens nothing that the file names.

    Raises:
      PhotoError: It is none that is read.
    """
    file.seek(0)
    head = file.read(_HEAD)
    if not head:
        raise photos.PhotoError("the file is empty")
    file.seek(0)
    options = {"format_whitelist": _DEMUXERS, "protocol_whitelist": "", "max_pixels": str(photos.MAX_PIXELS)}
    with errors() as said:
        try:
            # FFmpeg looks for the mark of an animated PNG in the first 2048 bytes alone; a profile may fill them.
            kind = "apng" if _is_animated_png(head) else None
            return av.open(file, "r", format=kind, options=options, metadata_errors="replace")
        except av.FFmpegError as error:
            found = error
    name, message = said[-1] if said else ("", "")
    if what := "" if head[4:8] == b"ftyp" else content_of(head):
        raise photos.PhotoError(what) from found
    if "whitelist" in message:
        raise photos.PhotoError(f"files of the kind {name!r} are not read") from found
    raise photos.PhotoError(said_by(found) + (f" ({message})" if message else "")) from found


def pictures_of(container: av.container.InputContainer) -> av.VideoStream | None:
    """The stream of moving pictures, of several the one with most frames; None where there is none."""
    still = av.stream.Disposition.attached_pic
    streams = [one for one in container.streams.video if one.codec_context and not one.disposition & still]
    return max(streams, key=lambda stream: stream.frames, default=None)


@contextlib.contextmanager
def errors() -> Iterator[list[tuple[str, str]]]:
    """What FFmpeg calls an error in this thread meanwhile: which part of it, and what. Some cuts it tells so alone."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    said: list[tuple[str, str]] = []
    try:
        with av.logging.Capture() as logs:
            try:
                yield said
            finally:
                said += [(name, message.strip()) for _, name, message in logs]
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


def said_by(error: Exception) -> str:
    """What an error of the system or of FFmpeg says, without its number and its file."""
    return getattr(error, "strerror", None) or str(error)


def _kind_of(head: bytes) -> _Kind | None:
    """What a file is whose first `_HEAD` bytes are given; None where they do not say."""
    if head.startswith((b"GIF87a", b"GIF89a")) or _is_animated_png(head):
        return _Kind.PICTURES
    if head.startswith(_PHOTOS) or _PPM.match(head) or head[:4] + head[8:12] == b"RIFFWEBP":
        return _Kind.PHOTO
    if head[4:8] == b"ftyp":
        return _Kind.PICTURES if head[8:12] in _PICTURE_BRANDS else _Kind.FILM
    is_film = head.startswith(_VIDEOS) or head[4:8] in _QUICKTIME or head[:4] + head[8:12] == b"RIFFAVI "
    return _Kind.FILM if is_film or _is_transport_stream(head) else None


def _is_animated_png(head: bytes) -> bool:
    return head.startswith(b"\x89PNG") and b"acTL" in head


def _is_transport_stream(head: bytes) -> bool:
    """Whether packets of 188 bytes, or of 192 as cameras write them, follow each other, each with its mark."""
    marks = ((0, 188), (4, 192))
    return any(len(head) > at + 2 * size and set(head[at : at + 4 * size : size]) == {0x47} for at, size in marks)


def lacks_end(file: BinaryIO, demuxer: str, last: int) -> bool:
    """Whether an open file lacks the end that its kind marks, or is shorter than it says.

    Args:
      file: The file; its position moves.
      demuxer: FFmpeg's name of its kind. Those that FFmpeg itself finds to end early give False.
      last: Where its last packet ends, in bytes.
    """
    size = file.seek(0, os.SEEK_END)
    if demuxer == "gif":
        return _bytes(file, last - 1, 1) != b";"
    if demuxer == "mpegts":
        return all(size % packet for packet in (188, 192, 204))
    if demuxer == "apng":
        return b"IEND" not in _bytes(file, max(size - _HEAD, 0), _HEAD)
    if demuxer == "ogg":
        return not _ends_with_last_page(_bytes(file, max(size - 2**16, 0), 2**16))
    if demuxer == "asf":
        head = _bytes(file, 0, _HEAD)
        start = head.find(_ASF_PROPERTIES) + 40
        return start >= 40 and int.from_bytes(head[start : start + 8], "little") > size
    return False


def _bytes(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)


def _ends_with_last_page(tail: bytes) -> bool:
    """Whether the last page of an Ogg file is whole, and marked as the last of its stream."""
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 4:
        return False
    segments = page[27 : 27 + page[26]]
    return len(page) >= 27 + page[26] + sum(segments)
