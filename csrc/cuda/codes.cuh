// Codes and queries as 32-bit words, whatever the width and the address of a row.
//
// Compiled for one shape: HAMMING_WORDS words a code (0 = known at run time only), and
// HAMMING_ALIGN the bytes that a load may take: a power of two, at most 16, that divides the
// address of every row; popc.cuh takes rows of 4 and 8 bytes by sixteen.
#pragma once

#include "ptx.cuh"

constexpr u32 kWarp = 0xffffffffu;
constexpr int kWords = HAMMING_WORDS;
constexpr int kAlign = HAMMING_ALIGN;

// What a search kernel is given: rows [begin, end) of a database, queries, and where hits go. Its
// twin is SEARCH in hamming/backends/cuda_search.py.
struct Search {
  const u8* codes;     // (n_codes, n_bytes)
  const u8* mask;      // (n_codes,), non-zero = searchable; or null
  const u32* queries;  // (n_queries, n_words), zero-padded
  const u32* limits;   // (n_queries,): distances below are hits
  u64* counts;         // (n_queries,): hits so far, also those for which there was no room
  u32* histograms;     // (n_queries, n_distances) hits at each distance; or null
  u64* hits;           // distance << 40 | row; those of query q in [starts[q], starts[q + 1])
  const i64* starts;   // (n_queries + 1,)
  i64 n_bytes;
  i64 begin;
  i64 end;
  i32 n_queries;
  i32 n_words;
  i32 n_distances;
};

constexpr int kIndexBits = 40;

// Bytes of a row, which aligned rows have a constant number of.
HAMMING_DEVICE i64 row_bytes(const Search& search) {
  return kWords > 0 && kAlign >= 4 ? 4 * kWords : search.n_bytes;
}

HAMMING_DEVICE int lane_id() { return static_cast<int>(threadIdx.x & 31); }

// The last word of a row whose width is no multiple of four bytes, or any word at an odd address.
HAMMING_DEVICE u32 bytes_to_word(const u8* bytes, i64 n_bytes) {
  u32 word = 0;
  for (int i = 0; i < 4; ++i) {
    if (i < n_bytes) word |= static_cast<u32>(bytes[i]) << (8 * i);
  }
  return word;
}

HAMMING_DEVICE u32 load_word(const u8* row, i64 n_bytes, i64 word) {
  if (4 * word >= n_bytes) return 0;
  if constexpr (kAlign >= 4) return __ldcs(reinterpret_cast<const u32*>(row) + word);
  return bytes_to_word(row + 4 * word, n_bytes - 4 * word);
}

// Words [first, first + 2) of a row; first is even.
HAMMING_DEVICE void load_two(const u8* row, i64 n_bytes, i64 first, u32 (&out)[2]) {
  if constexpr (kAlign >= 8) {
    if (4 * first < n_bytes) {
      const uint2 words = __ldcs(reinterpret_cast<const uint2*>(row) + first / 2);
      out[0] = words.x;
      out[1] = words.y;
    } else {
      out[0] = out[1] = 0;
    }
  } else {
    out[0] = load_word(row, n_bytes, first);
    out[1] = load_word(row, n_bytes, first + 1);
  }
}

HAMMING_DEVICE uint4 load_chunk(const u8* address) {
  return __ldcs(reinterpret_cast<const uint4*>(address));
}

HAMMING_DEVICE u64 hit_of(u32 distance, i64 row) {
  return static_cast<u64>(distance) << kIndexBits | static_cast<u64>(row);
}

// Writes a hit at its place among the query's, if there is room.
HAMMING_DEVICE void write_hit(const Search& search, int query, u64 place, u32 distance, i64 row) {
  const i64 start = search.starts[query];
  if (place < static_cast<u64>(search.starts[query + 1] - start)) {
    search.hits[start + static_cast<i64>(place)] = hit_of(distance, row);
  }
}

HAMMING_DEVICE void count_hits(const Search& search, int query, u32 distance, u32 count) {
  if (search.histograms == nullptr) return;
  atomicAdd(search.histograms + static_cast<i64>(query) * search.n_distances + distance, count);
}

// Appends a hit of this thread's own.
HAMMING_DEVICE void append(const Search& search, int query, u32 distance, i64 row) {
  write_hit(search, query, atomicAdd(search.counts + query, u64{1}), distance, row);
  count_hits(search, query, distance, 1);
}

// The same for a whole warp and one query: one addition for all, one for each distance among them.
HAMMING_DEVICE void append_warp(const Search& search, int query, bool hit, u32 distance, i64 row) {
  u32 near = __ballot_sync(kWarp, hit);
  if (near == 0) return;
  const int lane = lane_id();
  const int leader = __ffs(near) - 1;
  u64 place = 0;
  if (lane == leader) {
    place = atomicAdd(search.counts + query, static_cast<u64>(__popc(near)));
  }
  place = __shfl_sync(kWarp, place, leader) + __popc(near & ((1u << lane) - 1));
  if (hit) write_hit(search, query, place, distance, row);
  if (search.histograms == nullptr) return;
  u32* histogram = search.histograms + static_cast<i64>(query) * search.n_distances;
  while (near != 0) {
    const int first = __ffs(near) - 1;
    const u32 shared = __shfl_sync(kWarp, distance, first);
    const u32 same = __ballot_sync(kWarp, hit && distance == shared);
    if (lane == first) atomicAdd(histogram + shared, static_cast<u32>(__popc(same)));
    near &= ~same;
  }
}
