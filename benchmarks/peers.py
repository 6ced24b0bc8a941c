"""What tiler is compared with; each takes the tiles from a table that tiler wrote.

usage: peers.py obvious|floor|reduced|cucim SLIDE|FOLDER TABLE OUT png|jpg
       peers.py coordinates SLIDES RESOLUTIONS OUT THRESHOLDS

obvious  the script that everyone writes: OpenSlide, Pillow, four threads
floor    the codecs alone in two processes: each native tile decoded once, nothing else done
coordinates  the obvious script for coordinates: a mask and a loop over the tiles, per setting
cucim    the fastest script: cuCIM, OpenCV, two threads
reduced  the obvious script for a resolution between levels: OpenSlide at level 0, INTER_AREA
"""

import csv
import os
import struct
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path


def boxes(table):
    with open(table, newline="") as file:
        return [
            tuple(int(row[key]) for key in ("x0", "y0", "width0", "height0", "width", "height"))
            for row in csv.DictReader(file)
        ]


def obvious(slide_path, table, out, extension):
    import openslide

    slide = openslide.OpenSlide(slide_path)

    def save(box):
        x, y, width, height, _, _ = box
        tile = slide.read_region((x, y), 0, (width, height)).convert("RGB")
        tile.save(f"{out}/{x}_{y}.{extension}", quality=80)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, boxes(table)))


def reduced(slide_path, table, out, extension):
    import cv2
    import numpy as np
    import openslide
    from PIL import Image

    slide = openslide.OpenSlide(slide_path)

    def save(box):
        x, y, width, height, across, down = box
        pixels = np.asarray(slide.read_region((x, y), 0, (width, height)).convert("RGB"))
        small = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
        Image.fromarray(small).save(f"{out}/{x}_{y}.{extension}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, boxes(table)))


def cucim(slide_path, table, out, extension):
    import cv2
    import numpy as np
    from cucim import CuImage

    cv2.setNumThreads(1)
    slide = CuImage(slide_path)

    def save(box):
        x, y, width, height, across, down = box
        pixels = np.asarray(slide.read_region((x, y), (width, height), level=0))
        if (width, height) != (across, down):
            pixels = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        options = [cv2.IMWRITE_JPEG_QUALITY, 80] if extension == "jpg" else []
        cv2.imwrite(f"{out}/{x}_{y}.{extension}", pixels, options)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(save, boxes(table)))


def coordinates(slides, resolutions, out, thresholds):
    import cv2
    import numpy as np
    import openslide

    for mpp in map(float, resolutions.split(",")):
        for threshold in map(float, thresholds.split(",")):
            for path in sorted(Path(slides).iterdir()):
                with openslide.OpenSlide(path) as slide:
                    scale = 8.0 / float(slide.properties[openslide.PROPERTY_NAME_MPP_X])
                    width, height = slide.dimensions
                    small = slide.get_thumbnail((width / scale, height / scale)).convert("RGB")
                    side = round(512 * mpp / float(slide.properties["openslide.mpp-x"]))
                saturation = cv2.cvtColor(np.asarray(small), cv2.COLOR_RGB2HSV)[..., 1]
                saturation = cv2.medianBlur(saturation, 5)
                _, mask = cv2.threshold(saturation, 0, 1, cv2.THRESH_OTSU)
                mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
                with open(f"{out}/{path.stem}_{mpp}_{threshold}.csv", "w", newline="") as file:
                    table = csv.writer(file)
                    for y in range(0, height - side + 1, side):
                        for x in range(0, width - side + 1, side):
                            top, left = round(y / scale), round(x / scale)
                            bottom, right = round((y + side) / scale), round((x + side) / scale)
                            ratio = mask[top:bottom, left:right].mean()
                            if ratio >= threshold:
                                table.writerow([path.stem, x, y, side, side, ratio])


_state = {}


def start_floor(slide_path, out, extension):
    import tifffile

    with tifffile.TiffFile(slide_path) as tiff:
        page = tiff.pages[0]
        _state.update(
            offsets=page.dataoffsets, counts=page.databytecounts, side=page.tilewidth,
            columns=-(-page.imagewidth // page.tilewidth), out=out, extension=extension,
            file=os.open(slide_path, os.O_RDONLY),
        )  # fmt: skip


def floor_tile(box):
    import numpy as np
    import simplejpeg

    x, y, width, height, _, _ = box
    side, columns = _state["side"], _state["columns"]
    tile = np.empty((height, width, 3), np.uint8)
    for row in range(y // side, (y + height) // side):
        for column in range(x // side, (x + width) // side):
            k = row * columns + column
            data = os.pread(_state["file"], _state["counts"][k], _state["offsets"][k])
            top, left = row * side - y, column * side - x
            tile[top : top + side, left : left + side] = simplejpeg.decode_jpeg(data)
    if _state["extension"] == "png":
        data = floor_png(tile)
    else:
        data = simplejpeg.encode_jpeg(tile, quality=80, colorsubsampling="420")
    with open(f"{_state['out']}/{x}_{y}.{_state['extension']}", "wb") as file:
        file.write(data)


def floor_png(tile):
    import numpy as np
    from isal import isal_zlib

    height, width, _ = tile.shape
    rows = tile.reshape(height, -1)
    lines = np.empty((height, 1 + 3 * width), np.uint8)
    lines[:, 0] = 2
    lines[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])

    def chunk(kind, data):
        check = zlib.crc32(data, zlib.crc32(kind))
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", isal_zlib.compress(lines, 1))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def floor(slide_path, table, out, extension):
    with ProcessPoolExecutor(
        2, initializer=start_floor, initargs=(slide_path, out, extension)
    ) as pool:
        list(pool.map(floor_tile, boxes(table), chunksize=32))


if __name__ == "__main__":
    what, source, *arguments = sys.argv[1:]
    scripts = {"obvious": obvious, "floor": floor, "reduced": reduced, "cucim": cucim}
    if what == "coordinates":
        Path(arguments[1]).mkdir(parents=True)
        coordinates(source, *arguments)
    else:
        table, out, extension = arguments
        slides = sorted(Path(source).iterdir()) if Path(source).is_dir() else [Path(source)]
        for slide in slides:
            folder = Path(out, slide.stem) if len(slides) > 1 else Path(out)
            folder.mkdir(parents=True)
            scripts[what](str(slide), table, str(folder), extension)
