"""The links and files that exporters want in a run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tiler.checks.components import callable_name
from tiler.errors import ComponentError
from tiler.protocols import CollectsRun
from tiler.runner.products.collecting import collects
from tiler.runner.products.copies import File, Link
from tiler.runner.products.gather import Gathered, key_of, others_key
from tiler.runner.products.listed import SLIDES, is_product
from tiler.runner.products.occupied import users_errors


def wanted_links(name: str, slides: Sequence[Gathered]) -> dict[str, Link]:
    """Return the links that an exporter requests, by their paths."""
    found: dict[str, Link] = {}
    for one in slides:
        exporter, slide = one.job.exporters[name], one.slide
        assert collects(exporter)
        entries = {*(file.name for file in slide.files), *slide.folders}
        with users_errors(exporter, slide.slide_id):
            wanted = dict(exporter.run_links(slide))
        for path, entry in wanted.items():
            _check_path(exporter, path, slide.slide_id)
            if entry not in entries:
                what = f"{callable_name(exporter)}.run_links: the slide has no {entry!r}"
                raise ComponentError(slide.slide_id, f"{what}; return names of its own files")
            target = f"{SLIDES}/{slide.slide_id}/{entry}"
            found[path] = Link(name, slide.slide_id, target, one.digest)
    return found


def wanted_files(
    name: str, exporter: CollectsRun, slides: Sequence[Gathered], code: str
) -> dict[str, File]:
    """Return the files about all slides that an exporter requests, by their paths."""
    key = f"{key_of(slides)} {others_key(slides)} {code}"
    with users_errors(exporter, ""):
        contents = dict(exporter.run_files([one.slide for one in slides]))
    for path in contents:
        _check_path(exporter, path, "")
    return {path: File(name, key, _checked(exporter, it)) for path, it in contents.items()}


def _checked(exporter: CollectsRun, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of a file; errors of a user's exporter name its line."""
    with users_errors(exporter, ""):
        yield from content


def _check_path(exporter: CollectsRun, path: str, slide_id: str) -> None:
    """Refuse a path of an exporter that is outside its names in the run's folder."""
    tops = [top.removesuffix("/") for top in exporter.run_names]
    if not is_product(path) or path.partition("/")[0] not in tops:
        what = f"{callable_name(exporter)}: {path!r} is not below its run_names {tops}"
        raise ComponentError(slide_id, f"{what}; return a path below one of them")
