"""`make demo` ends with the path of a page that shows the demo slide."""

import io
import re
import shlex
from pathlib import Path

import pytest
from command import tiler
from page_checks import findings, shot, until
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


def words_of_the_demo() -> list[str]:
    """Return the words of the command that `make demo` runs."""
    recipe = re.search(r"^demo:.*\n\t\$\(BIN\)/tiler (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert recipe
    return shlex.split(recipe[1])


@pytest.mark.slow
def test_the_demo_ends_with_a_page_that_shows_its_slide(opened, tmp_path, demo_svs):
    drawn = tmp_path / "outputs/demo-slide/demo.svs"
    drawn.parent.mkdir(parents=True)
    drawn.hardlink_to(demo_svs)
    done = tiler(*words_of_the_demo(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    kept = re.search(r"1 slide: 1 done; ([\d,]+) tiles; report: (\S+)$", last)
    assert kept, last
    page = opened(tmp_path / kept[2])
    card = page.locator(".card")
    assert "demo" in card.inner_text()
    assert f"{kept[1]} of" in card.inner_text()
    until(page, "document.querySelector('.card img').naturalWidth > 100")
    shot(page, "demo")
    card.get_by_role("link").click()
    page.locator("#workbench").wait_for()
    assert page.locator("#kept-here").inner_text() == f"{kept[1]} tiles"
    until(page, "[...document.querySelectorAll('.sample img')].length > 2")
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.locator("#view").screenshot())).convert("RGB")
    colours = len(picture.getcolors(1 << 24))
    assert colours > 10_000, "the picture of the slide is not drawn"
    assert findings(page) == []
    shot(page, "demo_slide")
