"""What training leaves: ONNX files, inits of latent grids, rows of the manifest; and the way back."""
