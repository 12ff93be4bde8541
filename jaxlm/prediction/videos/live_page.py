"""A page on this machine that shows pictures as they come, in any browser: OpenCV's headless build has no windows."""

from __future__ import annotations

import contextlib
import http.server
import secrets
import threading
from collections.abc import Iterator

import numpy as np

from jaxlm.drawing import pictures

_PAGE = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>jaxlm: camera</title>
<style>body { margin: 0; background: #181818 } img { display: block; margin: auto; max-width: 100%; height: 100vh;
object-fit: contain }</style><img src="pictures" alt="The camera's picture with the points of the faces in it"></html>
"""
_BORDER = b"picture"


class LivePage:
    """The page, and the picture that it shows; several browsers may look at once.

    Attributes:
      address: Where it is. Only this machine reaches it, and only who knows the address.
    """

    def __init__(self) -> None:
        self._key = secrets.token_urlsafe(9)
        self._changed = threading.Condition()
        self._image: np.ndarray | None = None
        self._number, self._ended = 0, False
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page._answer(self)

            def log_message(self, *_: object) -> None:
                """Nobody wants to read it."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/{self._key}/"

    def __enter__(self) -> LivePage:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, image: np.ndarray) -> None:
        """Shows an RGB uint8 image [H, W, 3] in place of the one before."""
        with self._changed:
            self._image, self._number = image, self._number + 1
            self._changed.notify_all()

    def _answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):  # The browser has gone.
            if request.path == f"/{self._key}/":
                request.send_response(200)
                request.send_header("Content-Type", "text/html; charset=utf-8")
                request.send_header("Content-Length", str(len(_PAGE)))
                request.end_headers()
                request.wfile.write(_PAGE)
            elif request.path == f"/{self._key}/pictures":
                request.send_response(200)
                request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BORDER.decode()}")
                request.send_header("Cache-Control", "no-store")
                request.end_headers()
                for image in self._images():
                    coded = pictures.encode(".jpg", image)
                    head = b"--%s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % (_BORDER, len(coded))
                    request.wfile.write(head + coded + b"\r\n")
            else:
                request.send_error(404)

    def _images(self) -> Iterator[np.ndarray]:
        """The images from now on; those that come while one is sent are left out, but for the last."""
        sent = 0
        while True:
            with self._changed:
                while not self._ended and self._number == sent:
                    self._changed.wait()
                if self._ended or self._image is None:
                    return
                image, sent = self._image, self._number
            yield image
