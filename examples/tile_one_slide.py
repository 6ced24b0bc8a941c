"""Tile one slide from Python: coordinates, a table and images.

usage: python examples/tile_one_slide.py [SLIDE] [OUTPUT_FOLDER]

Without a slide it draws the demo slide first.
"""

import sys
from pathlib import Path

from tiler import MPP, TileExtractor, TileSpec, open_slide
from tiler.masks import OtsuMask
from tiler.slides import demo_slide


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else demo_slide()[0].path
    out = Path(sys.argv[2] if len(sys.argv) > 2 else "outputs/example")

    # 256-px tiles at half a micron per pixel, at least half of each on tissue.
    extractor = TileExtractor(
        TileSpec(256, resolution=MPP(0.5)),
        mask_provider=OtsuMask(remove_pen=True),
        mask_threshold=0.5,
    )
    with open_slide(path) as slide:
        regions = extractor.fit_extract(slide)
        cells = len(extractor.candidates_["ratio"])
        print(f"{slide.name}: {len(regions)} of {cells} tiles contain tissue")
        print("table:", extractor.to_csv(out))
        files = extractor.save(out / "tiles", regions[:16])
        print(f"{len(files)} images, the first: {files[0]}")


if __name__ == "__main__":
    main()
