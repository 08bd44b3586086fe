"""What training sees: packed images, and pairs of original and coded pictures."""
