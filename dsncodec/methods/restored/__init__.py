"""The method "restored": a standard codec, and a network that restores what it lost."""
