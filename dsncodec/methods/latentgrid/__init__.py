"""The method "latentgrid": latents on grids, their context model and a small synthesis, fitted to one picture."""
