"""A page that finds landmarks in a browser, by itself: `jaxlm export --format web`.

In: a trained detector, and the package of npm that runs networks in browsers. Out: a folder for any static server.
page/ has the page's own files, which do what the room above does in Python.
"""

from jaxlm.prediction.web.site import FORMAT, open_and_write, write_site

__all__ = ["FORMAT", "open_and_write", "write_site"]
