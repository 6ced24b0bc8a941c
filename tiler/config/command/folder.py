"""The folder of the configuration and the help that lists it, without importing Hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

_HELP = """\
tiler cuts whole-slide images into exact grids of tiles.

Start:  tiler                                   (a demo slide, into outputs/demo)
        tiler slides=files slides.paths=/data/slides     (into outputs/<date>_<time>)
        tiler slides=files slides.paths=/data/slides resolution.value=0.5 tile.size=256 \\
          threshold=0.5 'exporter=[csv,images]' out=/data/tiles
Sweep:  tiler -m threshold=0.1,0.5 resolution.value=0.5,1.0 slides=files slides.paths=/data/slides
Again:  tiler --rerun /data/tiles threshold=0.3     an old run's own configuration, changed or not
Report: tiler-report /data/tiles     pages about a run, as report=html makes them at its end
Look:   tiler --cfg job    the configuration as it would run;  tiler --hydra-help    Hydra's flags

Groups, chosen as group=option; each option is a file of {folder}, which explains its keys:
"""


def conf_folder() -> Path:
    """Return the folder of the configuration: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def help_text(own: Path | None = None) -> str:
    """Return the text of ``tiler --help``, with the options of a user's folder."""
    folder = conf_folder()
    lines = [_HELP.format(folder=folder) + _listed(_options(folder, "*/*.yaml"))]
    if own is not None:
        listed = (
            _listed(_options(own, "**/*.yaml")) or "  none: options are files GROUP/OPTION.yaml"
        )
        lines += ["", f"Options in {own}:", listed]
    return "\n".join(lines)


def _options(folder: Path, pattern: str) -> dict[str, list[str]]:
    """Return the options of each group in a folder."""
    groups: dict[str, list[str]] = {}
    for option in sorted(folder.glob(pattern)):
        group = option.parent.relative_to(folder).as_posix()
        if group != ".":
            groups.setdefault(group, []).append(option.stem)
    return groups


def _listed(groups: Mapping[str, Sequence[str]]) -> str:
    width = max(map(len, groups), default=0)
    return "\n".join(f"  {name:<{width}}  {', '.join(options)}" for name, options in groups.items())
