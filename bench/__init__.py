"""Measurements of dsncodec: each published number comes from here. ``python -m bench --help``."""
