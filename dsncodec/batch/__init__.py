"""A folder of pictures to a folder of .dsn files, by many workers: ``run`` plans and does it, ``folders`` and ``remote`` read
and write, ``dask`` reaches a cluster.

Workers unpickle ``encode_shard`` by this name.
"""

from .run import Batch, Row, Shard, Task, encode_shard

__all__ = ["Batch", "Row", "Shard", "Task", "encode_shard"]
