"""HDF5 files of a slide's tiles, written whole; their bytes depend on their content alone."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tiler.exporters.tables.hdf5_layouts import Layout
from tiler.files import partial_file, put_in_place
from tiler.regions import Regions
from tiler.storage.destinations import destination_error
from tiler.storage.safe_text import plain_text

if TYPE_CHECKING:
    import h5py

COLUMNS = "columns"
"""The group with the numbers and labels of tiles, a dataset for each; no tool reads it."""

IMAGES = "images"
"""The dataset of the pixels of all tiles: uint8 (N, height, width, 3), a chunk per tile."""

IMAGES_OF_CLAM = "imgs"
"""CLAM's name of it."""


class _Sink(io.FileIO):
    """A file that HDF5 writes to. It keeps an error of the system, which HDF5 would rename."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of ``data``, or nothing more after an error."""
        rest = memoryview(data)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) or 0 :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file, unless there was an error."""
        try:
            return super().truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0


def write_hdf5(path: Path, fill: Callable[[h5py.File], None]) -> tuple[int, str]:
    """Write a file under a temporary name and rename it into place.

    Parameters
    ----------
    path
        The final name; its folder exists.
    fill
        Writes the content into the open file.

    Returns
    -------
    tuple
        Its size in bytes, and its SHA-256 in hex.

    Raises
    ------
    DestinationError
        If the destination cannot be written.
    """
    import h5py

    partial = partial_file(path)
    try:
        with _Sink(partial, "x+") as sink:
            try:
                with h5py.File(sink, "w") as file:
                    fill(file)
            except Exception as error:  # HDF5 raises several for what the sink kept
                if sink.error is None:
                    raise
                raise sink.error from error
            if sink.error is not None:
                raise sink.error
            sink.seek(0)
            digest = hashlib.file_digest(sink, "sha256").hexdigest()
            size = os.fstat(sink.fileno()).st_size
        put_in_place(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise destination_error(error, path) from error
        raise
    return size, digest


def write_coords(file: h5py.File, layout: Layout, parts: Sequence[Regions]) -> None:
    """Write the coordinates of tiles in a tool's layout, and their columns."""
    coords = file.create_dataset("coords", data=layout.coords(parts))
    place = file if layout.of_file else coords
    for name, value in layout.attributes.items():
        place.attrs[name] = value
    if layout.of_file:
        place.attrs["num_patches"] = len(coords)
    for name, values in _columns(parts).items():
        file.create_dataset(f"{COLUMNS}/{name}", data=_storable(values))


def write_images(file: h5py.File, regions: Regions, tiles: Iterable[bytes]) -> None:
    """Write the pixels of tiles, which are already deflated, one by one."""
    count, (width, height) = len(regions), regions.shape
    whole = (count, height, width, 3)
    if not count:
        file.create_dataset(IMAGES, whole, np.uint8)  # a chunk may not be larger than the dataset
        return
    images = file.create_dataset(
        IMAGES, whole, np.uint8, chunks=(1, *whole[1:]), compression="gzip", compression_opts=1
    )
    for at, (_, data) in enumerate(zip(range(count), tiles, strict=True)):
        images.id.write_direct_chunk((at, 0, 0, 0), data)


def link_images(file: h5py.File, other: str) -> None:
    """Show the pixels that another file in the same folder contains."""
    import h5py

    file[IMAGES] = h5py.ExternalLink(other, f"/{IMAGES}")


def name_for_clam(file: h5py.File) -> None:
    """Give the pixels the name that CLAM looks for, too."""
    import h5py

    file[IMAGES_OF_CLAM] = h5py.SoftLink(f"/{IMAGES}")


def _columns(parts: Sequence[Regions]) -> Mapping[str, npt.NDArray[Any]]:
    """Return coverage and the columns that all regions have, by a name without ``/``."""
    if not parts:
        return {}
    columns = [{"ratio": part.ratios, **part.columns} for part in parts]
    shared = [name for name in columns[0] if all(name in one for one in columns)]
    return {
        name.replace("%", "%25").replace("/", "%2F"): np.concatenate([one[name] for one in columns])
        for name in shared
    }


def _storable(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a column as HDF5 stores it: text has one length, in bytes of UTF-8."""
    import h5py

    if values.dtype.kind not in "OU":
        return values
    texts = np.array([plain_text(str(value)).encode() for value in values], np.bytes_)
    return texts.astype(h5py.string_dtype("utf-8", max(1, texts.dtype.itemsize)))
