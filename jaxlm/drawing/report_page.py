"""The parts of a report's page as HTML: text, tables, pictures. The page is one file and loads no other."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5b6570; --line: #d9dee3; --page: #ffffff; --card: #f5f7f9;
  --accent: #0072b2; --warn: #fff4df; --warn-line: #e69f00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --soft: #9aa5b1; --line: #343b43; --page: #14181c; --card: #1c2228; --accent: #56b4e9;
    --warn: #332811; --warn-line: #b98000; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 1180px; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { margin: 0; font-size: 2rem; line-height: 1.2; }
h2 { margin: 3rem 0 .4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); font-size: 1.35rem; }
h3 { margin: 1.8rem 0 .3rem; font-size: 1.05rem; }
p { margin: .4rem 0 1rem; max-width: 48rem; }
p, dd, .lead, details { color: var(--soft); }
nav { margin: 1.2rem 0 0; display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .93rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: 1rem 0; padding: .8rem 1rem;
  background: var(--card); border-radius: 8px; font-size: .9rem; }
dt { font-weight: 600; }
dd { margin: 0; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .3rem 0; color: var(--soft); }
th, td { padding: .38rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); border-bottom-width: 2px; white-space: normal; vertical-align: bottom; }
th.text, td.text { text-align: left; }
tbody td:first-child { font-weight: 600; }
td.best { font-weight: 700; color: var(--accent); }
.warning { margin: 1rem 0; padding: .8rem 1rem; background: var(--warn); border-left: 4px solid var(--warn-line);
  border-radius: 4px; }
.warning ul { margin: .3rem 0 0; padding-left: 1.2rem; }
figure { margin: 1rem 0 1.6rem; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line);
  border-radius: 8px; }
figure.drawing img { padding: .7rem; }
details { font-size: .9rem; }
summary { cursor: pointer; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  nav, details { display: none; }
  table { font-size: 8pt; }
  th, td { padding: .2rem .45rem; }
  h2, h3, p { break-after: avoid; }
  dl, .warning, td.best { print-color-adjust: exact; }
  figure, table, .warning, dl { break-inside: avoid; }
}
"""


OPENING = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>"""
"""What every page begins with; its title follows."""


class Section(NamedTuple):
    """A part of the page under its own title; `parts` are HTML."""

    title: str
    parts: Sequence[str]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
      title: Text of the column's head.
      values: Value of each row; all are numbers, or all are texts.
      show: Function that makes a text of a number.
      best: `min` or `max`; the best number is bold. None where no number is best.
    """

    title: str
    values: Sequence[float | str]
    show: Callable[[float], str] = str
    best: Callable[[Iterable[float]], float] | None = None


def document(title: str, lead: str, opening: Sequence[str], sections: Sequence[Section]) -> str:
    """The page: the title, the text `lead`, links to the sections, the HTML `opening`, and the sections."""
    links = [f'<a href="#part{index}">{_text(section.title)}</a>' for index, section in enumerate(sections)]
    blocks = [
        "\n".join([f'<section id="part{index}">\n<h2>{_text(section.title)}</h2>', *section.parts, "</section>"])
        for index, section in enumerate(sections)
    ]
    return "\n".join(
        [
            f"{OPENING}{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f'<h1>{_text(title)}</h1>\n<p class="lead">{_text(lead)}</p>',
            f"<nav>{' '.join(links)}</nav>",
            *opening,
            *blocks,
            "</body>\n</html>\n",
        ]
    )


def paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def heading(text: str) -> str:
    """A title within a section."""
    return f"<h3>{_text(text)}</h3>"


def warning(text: str, items: Sequence[str] = ()) -> str:
    """A box with a warning, and a list below its text."""
    points = "".join(f"<li>{_text(item)}</li>" for item in items)
    return f'<div class="warning">{_text(text)}{f"<ul>{points}</ul>" if items else ""}</div>'


def terms(lines: Mapping[str, str]) -> str:
    """A list of terms, each with its line, as for the protocol of an evaluation."""
    return f"<dl>{''.join(f'<dt>{_text(name)}</dt><dd>{_text(line)}</dd>' for name, line in lines.items())}</dl>"


def folded(title: str, text: str) -> str:
    """Text that appears when its title is clicked."""
    return f"<details><summary>{_text(title)}</summary>{_text(text)}</details>"


def table(columns: Sequence[Column], caption: str = "") -> str:
    """A table of columns; texts are aligned left, numbers right."""
    head = "".join(f"<th{_look(column)}>{_text(column.title)}</th>" for column in columns)
    rows = zip(*map(_cells, columns), strict=True)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    title = f"<caption>{_text(caption)}</caption>" if caption else ""
    return f'<div class="table"><table>{title}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _cells(column: Column) -> list[str]:
    if _is_text(column):
        return [f'<td class="text">{_text(str(value))}</td>' for value in column.values]
    numbers = [value for value in column.values if not isinstance(value, str)]
    shown = [column.show(value) for value in numbers]
    finite = [value for value in numbers if np.isfinite(value)]
    # Numbers that look the same share the mark; where all numbers look the same, there is no mark.
    best = column.show(column.best(finite)) if column.best and len(set(shown)) > 1 and finite else None
    return [f"<td{' class=best' if text == best else ''}>{_text(text)}</td>" for text in shown]


def _look(column: Column) -> str:
    return ' class="text"' if _is_text(column) else ""


def _is_text(column: Column) -> bool:
    return isinstance(column.values[0], str)


def drawing(figure: Figure, text: str) -> str:
    """A plot as SVG; `text` describes it to those who cannot see it."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return _picture("image/svg+xml", file.getvalue(), text, "drawing")


def photo(png: bytes, text: str) -> str:
    """A PNG picture; `text` describes it to those who cannot see it."""
    return _picture("image/png", png, text, "photo")


def _picture(kind: str, content: bytes, text: str, look: str) -> str:
    address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return f'<figure class="{look}"><img alt="{_text(text)}" src="{address}"></figure>'


def _text(text: str) -> str:
    return html.escape(text)
