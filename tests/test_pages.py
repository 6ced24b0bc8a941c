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


def options(group: Path) -> set[str]:
    return {file.stem for file in group.glob("*.yaml")}


GROUPS = sorted({file.parent for file in ROOT.glob("conf/*/*.yaml")})


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_readme_lists_every_option_of_a_group(group):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{group.name}` \|([^|]*)\|", text, re.M)
    assert row, "no row in the table of options"
    assert set(re.findall(r"`(\w+)`", row[1])) == options(group)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_the_first_configuration_lists_every_option_of_a_group(group):
    if group.name == "experiment":
        return  # its options are presets
    text = (ROOT / "conf/config.yaml").read_text(encoding="utf-8")
    line = re.search(rf"^  - {group.name}: [^#]*# ((?:.*\n)(?: +# .*\n)*)", text, re.M)
    assert line, "no line in the list of defaults"
    assert options(group) == set(re.findall(r"\w+", line[1])) - {"any", "of"}
