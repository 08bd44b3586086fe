"""Range coders: integers <-> bytes. They know nothing of images."""
