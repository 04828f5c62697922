"""The page's files: no inline code, nothing from elsewhere, every module loaded at once."""

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "sinks" / "gateway" / "static"
PAGE = (STATIC / "index.html").read_text()
MODULES = sorted(STATIC.rglob("*.js"))
LINES_MAX = 200


def test_every_module_is_asked_for_with_the_page_and_none_that_is_not_there() -> None:
    named = re.findall(r'rel="modulepreload" href="/static/([^"]+)"', PAGE)
    assert sorted([*named, "app.js"]) == sorted(m.relative_to(STATIC).as_posix() for m in MODULES)


def test_nothing_on_the_page_is_inline_or_from_elsewhere() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", PAGE)
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', PAGE)
    assert [address for address in loaded if not address.startswith("/static/")] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.relative_to(STATIC).as_posix())
def test_a_module_says_what_it_is_for_and_makes_no_html_of_text(module: Path) -> None:
    text = module.read_text()
    assert text.startswith("// ")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert text.count("\n") <= LINES_MAX
