"""Pictures to pictures: enlarge, shrink, denoise, fill holes, enhance, style."""
