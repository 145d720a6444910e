"""Markup is escaped unless it was made as markup."""

from ray_jobs.report.html import Markup, join, tag

PLANTED = '<script>alert("1")</script>'


def test_text_and_attributes_are_escaped():
    assert tag("p", PLANTED) == "<p>&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;</p>"
    assert tag("a", "x", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;">x</a>'
    assert join([PLANTED, Markup("<br>"), 5, None]) == "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;<br>5"


def test_elements_nest_and_none_is_left_out():
    assert tag("div", [tag("b", "x"), None], class_="c", hidden=True, id=None) == '<div class="c" hidden><b>x</b></div>'
    assert tag("img", src="y", data_x=1) == '<img src="y" data-x="1">'
