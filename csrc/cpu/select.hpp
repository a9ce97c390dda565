// Exact selection on integer distances, without a heap.
//
// Accepting only distances strictly below the current k-th makes ties fall to the smaller index for
// free, because rows are scanned upwards. A histogram of the accepted distances says when the limit
// may fall, so an accept costs a store and an increment; a full buffer is compacted once, in order.
// Accepts are bounded by k * (n_bits + 1) per query and shard, whatever the order of the database.
#pragma once

#include "../hamming.hpp"

namespace hamming {
namespace {

inline std::uint64_t hit_distance(Hit hit) { return hit >> kIndexBits; }
inline std::int64_t hit_index(Hit hit) { return static_cast<std::int64_t>(hit & kIndexMask); }
inline Hit make_hit(std::uint64_t distance, std::int64_t index) {
  return (distance << kIndexBits) | static_cast<Hit>(index);
}

// Keeps the hits that can still be part of the answer: all below the limit, and the first ones at
// it.
inline void compact(Collector& collector) {
  std::int64_t room_at_limit = collector.k - collector.below;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < collector.size; ++i) {
    const Hit hit = collector.hits[i];
    const std::uint64_t distance = hit_distance(hit);
    if (distance > collector.limit) continue;
    if (distance == collector.limit && room_at_limit-- <= 0) continue;
    collector.hits[kept++] = hit;
  }
  collector.size = kept;
}

inline void push(Collector& collector, std::uint64_t distance, std::int64_t index) {
  if (collector.size == collector.capacity) compact(collector);
  collector.hits[collector.size++] = make_hit(distance, index);
  ++collector.histogram[distance];
  ++collector.below;
  while (collector.below >= collector.k) {
    --collector.limit;
    collector.below -= collector.histogram[collector.limit];
  }
}

inline void push(RadiusSink& sink, std::uint64_t distance, std::int64_t index) {
  const std::int64_t position = sink.per_distance[distance]++;
  if (sink.distances != nullptr) {
    sink.distances[position] = static_cast<std::int32_t>(distance);
    sink.indices[position] = index;
  }
}

}  // namespace
}  // namespace hamming
