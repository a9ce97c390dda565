// Hits of the kernels that multiply, on their way to memory. A place among a query's hits costs an
// addition that has to be waited for, a microsecond in which the warp could compare thousands of
// pairs; so a warp keeps its hits in shared memory until they fill the buffer, and then waits once
// for all their places. kBuffered is how many that are, a multiple of 128. With HAMMING_TALLY lanes
// whose hits go to the same query, or the same distance of it, add up first, which floods need
// most.
#pragma once

#include "codes.cuh"

constexpr int kBatch = 4;  // hits of a lane whose places are asked for together
constexpr int kDistanceBits = 16;
constexpr int kRowBits = 32;  // a segment has at most 2^31 rows

static_assert(kBuffered % (32 * kBatch) == 0, "a buffer is emptied in whole batches");

struct HitBuffer {
  u64* entries;  // kBuffered of this warp, in shared memory
  u32 held;      // the same in all lanes
};

// `query` counts from the warp's first one, below 2^16; `row` from the segment's.
HAMMING_DEVICE u64 buffered_hit(int query, u32 distance, i64 row) {
  return static_cast<u64>(query) << (kDistanceBits + kRowBits) |
         static_cast<u64>(distance) << kRowBits | static_cast<u64>(row);
}

HAMMING_DEVICE int buffered_query(u64 hit) {
  return static_cast<int>(hit >> (kDistanceBits + kRowBits));
}

// Hands over what the warp holds, 32 hits at a time: of the lanes with the same query the first
// adds for all. All lanes call.
HAMMING_DEVICE void tally_buffer(const Search& search, HitBuffer& buffer, int first_query) {
  const int lane = lane_id();
  __syncwarp();
#pragma unroll 1
  for (u32 first = 0; first < buffer.held; first += 32) {
    const bool there = first + lane < buffer.held;
    const u64 hit = there ? buffer.entries[first + lane] : ~u64{0};  // like no hit
    const int query = first_query + buffered_query(hit);
    const u32 distance = static_cast<u32>(hit >> kRowBits) & ((1u << kDistanceBits) - 1);
    const u32 same = __match_any_sync(kWarp, static_cast<u32>(buffered_query(hit)));
    const u32 equal = __match_any_sync(kWarp, static_cast<u32>(hit >> kRowBits));
    const int leader = __ffs(same) - 1;
    u64 place = 0;
    if (there && lane == leader) {
      place = atomicAdd(search.counts + query, static_cast<u64>(__popc(same)));
    }
    place = __shfl_sync(kWarp, place, leader) + __popc(same & ((1u << lane) - 1));
    if (!there) continue;
    const i64 row = search.begin + static_cast<i64>(static_cast<u32>(hit));
    write_hit(search, query, place, distance, row);
    if (lane == __ffs(equal) - 1) {
      count_hits(search, query, distance, static_cast<u32>(__popc(equal)));
    }
  }
  __syncwarp();  // what was read may be overwritten
  buffer.held = 0;
}

// Hands over what the warp holds. All lanes call.
HAMMING_DEVICE void empty_buffer(const Search& search, HitBuffer& buffer, int first_query) {
  __syncwarp();
#pragma unroll 1
  for (u32 first = lane_id(); first < buffer.held; first += 32 * kBatch) {
    u64 places[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (first + 32 * i >= buffer.held) continue;
      const int query = first_query + buffered_query(buffer.entries[first + 32 * i]);
      places[i] = atomicAdd(search.counts + query, u64{1});
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      if (first + 32 * i >= buffer.held) continue;
      const u64 hit = buffer.entries[first + 32 * i];
      const int query = first_query + buffered_query(hit);
      const u32 distance = static_cast<u32>(hit >> kRowBits) & ((1u << kDistanceBits) - 1);
      const i64 row = search.begin + static_cast<i64>(static_cast<u32>(hit));
      write_hit(search, query, places[i], distance, row);
      count_hits(search, query, distance, 1);
    }
  }
  __syncwarp();  // what was read may be overwritten
  buffer.held = 0;
}

HAMMING_DEVICE void hand_over(const Search& search, HitBuffer& buffer, int first_query) {
#ifdef HAMMING_TALLY
  tally_buffer(search, buffer, first_query);
#else
  empty_buffer(search, buffer, first_query);
#endif
}

// Where this lane may put its `own` hits, one after the other; those of the warp are at most
// kBuffered. All lanes call.
HAMMING_DEVICE u64* room_for(const Search& search, HitBuffer& buffer, int first_query, u32 own) {
  u32 until = own;  // of the lanes up to this one
#pragma unroll
  for (int distance = 1; distance < 32; distance *= 2) {
    const u32 before = __shfl_up_sync(kWarp, until, distance);
    if (lane_id() >= distance) until += before;
  }
  const u32 all = __shfl_sync(kWarp, until, 31);
  if (buffer.held + all > kBuffered) hand_over(search, buffer, first_query);
  u64* place = buffer.entries + buffer.held + until - own;
  buffer.held += all;
  return place;
}
