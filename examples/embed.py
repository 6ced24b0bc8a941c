"""Embed the tiles of a run: an HDF5 file of features and coordinates per slide, as TRIDENT has it.

usage: python examples/embed.py RUN MODEL.pt OUTPUT_FOLDER   (a TorchScript model)
"""

import sys
from pathlib import Path

import h5py
import numpy as np

COLUMNS = ["width", "width0"]


def embed(batches, model, out):
    Path(out).mkdir(parents=True)
    for batch in batches:
        slides, features = np.array(batch["slide_id"]), np.asarray(model(batch["image"]))
        coords = np.stack([batch["x0"], batch["y0"]], axis=1)
        for slide in np.unique(slides):
            rows = slides == slide
            with h5py.File(Path(out, f"{slide}.h5"), "a") as file:
                append(file, "features", features[rows].astype(np.float32))
                names = {"patch_size": "width", "patch_size_level0": "width0"}
                attributes = {name: int(batch[column][0]) for name, column in names.items()}
                append(file, "coords", coords[rows]).attrs.update(attributes)


def append(file, name, values):
    if name not in file:
        return file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))
    file[name].resize(len(file[name]) + len(values), axis=0)
    file[name][-len(values) :] = values
    return file[name]


def main(run, weights, out):
    import torch  # before the stream is made, so that DataLoader knows it

    from tiler import TileStream

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.jit.load(weights, map_location=device).eval()
    batches = torch.utils.data.DataLoader(
        TileStream(run, batch=256, columns=COLUMNS), batch_size=None, num_workers=4
    )
    with torch.inference_mode():
        embed(batches, lambda image: model(image.to(device).permute(0, 3, 1, 2) / 255).cpu(), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
