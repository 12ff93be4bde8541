"""What tests read of a page in HTML."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """A page taken apart: its sections' tables by title, its images, and everything that it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.images: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self._section, self._inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value for name, value in attributes if name in ("href", "src", "action", "data", "srcset")]
        self.images += [value for name, value in attributes if tag == "img" and name == "src"]
        if tag in ("h1", "h2", "th", "td"):
            self._inside = tag
        if tag == "h2":
            self._section = ""
        elif tag == "table":
            self.tables.setdefault(self._section, []).append([])
        elif tag == "tr":
            self.tables[self._section][-1].append([])
        elif tag in ("th", "td"):
            self.tables[self._section][-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, text: str) -> None:
        if self._inside == "h2":
            self._section += text
        elif self._inside in ("th", "td"):
            self.tables[self._section][-1][-1][-1] += text
