"""A segmentation network as a mask; needs the extra ``tiler[onnx]``."""
