// Exact selection on integer distances, without a heap.
//
// Accepting only distances strictly below the current k-th makes ties fall to the smaller index for
// free, because rows are scanned upwards. A histogram of the accepted distances says when the limit
// may fall; it is brought up to date once for every k / 16 hits, so that an accept is little more
// than a store. A full buffer is compacted once, in order. Accepts are bounded by
// (17/16 * k + 64) * (n_bits + 1) per query and shard, whatever the order of the database: the hits
// of a block are accepted together. Those at or above the limit they leave behind are dead weight
// that order and compaction drop.
#pragma once

#include "../hamming.hpp"

namespace hamming {
namespace {

inline std::uint64_t hit_distance(Hit hit) { return hit >> kIndexBits; }
inline std::int64_t hit_index(Hit hit) { return static_cast<std::int64_t>(hit & kIndexMask); }

// Counts the hits since the last count and lowers the limit as far as they allow.
inline void count_hits(Collector& collector) {
  for (std::int64_t i = collector.counted; i < collector.size; ++i) {
    ++collector.histogram[hit_distance(collector.hits[i])];
  }
  collector.below += collector.size - collector.counted;
  while (collector.below >= collector.k) {
    --collector.limit;
    collector.below -= collector.histogram[collector.limit];
  }
  collector.counted = collector.size;
  collector.count_at = collector.size + collector.k / 16 + 1;
}

// Keeps the hits that can still be part of the answer: all below the limit, the first ones at it.
// Written without branches, which distances near the limit would make unpredictable.
inline void compact(Collector& collector) {
  count_hits(collector);
  std::int64_t room_at_limit = collector.k - collector.below;
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < collector.size; ++i) {
    const Hit hit = collector.hits[i];
    const std::uint64_t distance = hit_distance(hit);
    const bool at_limit = (distance == collector.limit) & (room_at_limit > 0);
    room_at_limit -= at_limit;
    collector.hits[kept] = hit;
    kept += at_limit | (distance < collector.limit);
  }
  collector.count_at -= collector.size - kept;
  collector.size = collector.counted = kept;
}

// Where the hits of the next block may be written: kHitRoom places.
inline Hit* room_for_hits(Collector& collector, Hit*) {
  if (collector.size + kHitRoom > collector.capacity) compact(collector);
  return collector.hits + collector.size;
}

inline Hit* room_for_hits(RadiusSink& sink, Hit* scratch) {
  if (sink.size + kHitRoom > sink.capacity) sink.capacity = 0;
  return sink.capacity > 0 ? sink.hits + sink.size : scratch;
}

// Takes the `count` hits that were written there, in index order.
inline void accept(Collector& collector, const Hit*, std::int64_t count) {
  collector.size += count;
  if (collector.size >= collector.count_at) count_hits(collector);
}

inline void accept(RadiusSink& sink, const Hit* hits, std::int64_t count) {
  if (sink.distances == nullptr) {
    for (std::int64_t i = 0; i < count; ++i) ++sink.per_distance[hit_distance(hits[i])];
    sink.size = sink.capacity > 0 ? sink.size + count : -1;
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t distance = hit_distance(hits[i]);
    const std::int64_t position = sink.per_distance[distance]++;
    if (position >= sink.n_hits) continue;
    sink.distances[position] = static_cast<std::int32_t>(distance);
    sink.indices[position] = hit_index(hits[i]);
  }
}

}  // namespace
}  // namespace hamming
