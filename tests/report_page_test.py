"""The parts of a report's page: tables, and text that is text and no HTML."""

import re

from html_page import Page
from jaxlm.drawing import report_page
from jaxlm.drawing.report_page import Column, Section


def test_text_is_shown_as_it_is():
    text = 'a <b>&amp; "c"'
    parts = [
        report_page.paragraph(text),
        report_page.warning(text, [text]),
        report_page.terms({text: text}),
        report_page.folded(text, text),
        report_page.table([Column(text, [text])], caption=text),
        report_page.photo(b"", text),
    ]
    page = report_page.document(text, text, [report_page.heading(text)], [Section(text, parts)])
    assert page.count("a &lt;b&gt;&amp;amp; &quot;c&quot;") == 17
    assert text not in page
    assert Page(page).tables == {text: [[[text], [text]]]}


def test_in_a_column_whatever_looks_like_the_best_value_stands_out():
    column = Column("x", [1.04, 1.01, 2.0, float("nan")], "{:.1f}".format, min)
    table = report_page.table([Column("run", ["a", "b", "c", "d"]), column])
    assert re.findall(r"<td( class=best)?>([^<]+)", table) == [
        (" class=best", "1.0"),
        (" class=best", "1.0"),
        ("", "2.0"),
        ("", "nan"),
    ]
    alike = report_page.table([Column("x", [3.0, 3.0], str, min)])
    assert "best" not in alike
