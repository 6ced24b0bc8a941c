"""The pages of the project: links have targets, named files exist, decisions are complete."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted(ROOT.glob("docs/decisions/*.md"))


def ids(path):
    return path.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in kept}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_have_targets(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_of_the_project_that_a_page_names_exist(page):
    if page.name in ("CHANGELOG.md", "extending.md"):
        return  # they name files of the past, and files of the reader
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:tiler|tests|conf|docs|examples|benchmarks)/[\w/.\-]*)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", DECISIONS, ids=ids)
def test_a_decision_has_a_status_a_date_alternatives_and_a_cost(page):
    text = page.read_text(encoding="utf-8")
    number = int(page.name[:4])
    assert text.startswith(f"# {number}. ")
    assert re.search(r"^Status: (accepted|superseded by .+)\b.* · \d{4}-\d\d-\d\d", text, re.M)
    for part in ("Question", "Decision", "Alternatives", "Cost"):
        assert f"**{part}" in text, part


def test_every_page_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name})" in text, page.name
