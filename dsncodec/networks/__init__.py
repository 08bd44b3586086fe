"""Networks at inference: ONNX Runtime sessions and tiles, the registry of weights, networks from image to image."""
