"""Rate-distortion benchmarks over anybody's pictures: ``dsncodec bench`` and ``python -m bench``.

``measure`` codes pictures and keeps raw rows, ``report`` makes curves, tables, plots and the page of them,
``samples`` codes pictures at matched bytes for looking at, ``peers`` has one file per family of codecs.
"""
