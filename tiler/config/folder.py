"""Where the configuration lies, and the help that lists it: without Hydra, so that it is quick."""

from __future__ import annotations

from pathlib import Path

_HELP = """\
tiler cuts whole-slide images into exact grids of tiles.

Start:  tiler                                   (a demo slide, into outputs/demo)
        tiler slides=files slides.paths=/data/slides     (into outputs/<date>_<time>)
        tiler slides=files slides.paths=/data/slides resolution.value=0.5 tile.size=256 \\
          threshold=0.5 'exporter=[csv,images]' out=/data/tiles
Sweep:  tiler -m threshold=0.1,0.5 resolution.value=0.5,1.0 slides=files slides.paths=/data/slides
Again:  tiler --rerun /data/tiles threshold=0.3     an old run's own configuration, changed or not
Look:   tiler --cfg job    the configuration as it would run;  tiler --hydra-help    Hydra's flags

Groups, chosen as group=option; each option is a file of {folder}, which explains its keys:
"""


def conf_folder() -> Path:
    """The folder of the configuration: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def help_text() -> str:
    """What ``tiler --help`` says."""
    folder = conf_folder()
    groups: dict[str, list[str]] = {}
    for option in sorted(folder.glob("*/*.yaml")):
        groups.setdefault(option.parent.name, []).append(option.stem)
    width = max(map(len, groups))
    lines = [f"  {group:<{width}}  {', '.join(options)}" for group, options in groups.items()]
    return _HELP.format(folder=folder) + "\n".join(lines)
