"""Base codecs: colour <-> the codec's own file."""
