"""One search over several shards: in this process, or in processes and machines over Ray.

`Shards` holds one `hamming.Index` per shard, on one or several devices. `RayShards` gives each
shard's file a process of its own. Both find what one `Index` with all shards, one after the other,
would find: by distance, then by shard, then by row, bit for bit.
"""

from .local import Shards
from .over_ray import RayShards
from .shard_actor import ShardError

__all__ = ["RayShards", "ShardError", "Shards"]
