"""Write features and coordinates of each slide as TRIDENT does: embed.py RUN MODEL.pt FOLDER."""

import sys
from pathlib import Path

import h5py
import numpy as np

from tiler import TileStream


def embed(batches, model, out):
    Path(out).mkdir(parents=True)
    for batch in batches:
        found = {"features": np.asarray(model(batch["image"]), np.float32)}
        found["coords"] = np.stack([batch["x0"], batch["y0"]], axis=1)
        for slide in set(batch["slide_id"]):
            rows = [number for number, name in enumerate(batch["slide_id"]) if name == slide]
            with h5py.File(Path(out, f"{slide}.h5"), "a") as file:
                for name, values in found.items():
                    most = (None, values.shape[1])
                    data = file.require_dataset(name, (0, most[1]), values.dtype, maxshape=most)
                    data.resize(len(data) + len(rows), axis=0)
                    data[-len(rows) :] = values[rows]
                data.attrs["patch_size"] = int(batch["width"][0])  # of coords
                data.attrs["patch_size_level0"] = int(batch["width0"][0])


if __name__ == "__main__":
    import torch  # before the stream is made, so that DataLoader knows that it is iterated

    run, weights, out = sys.argv[1:]  # weights: a TorchScript file
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = torch.jit.load(weights, map_location=device).eval()
    stream = TileStream(run, batch=256, columns=["width", "width0"])
    batches = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=4)
    with torch.inference_mode():
        embed(batches, lambda image: model(image.to(device).permute(0, 3, 1, 2) / 255).cpu(), out)
