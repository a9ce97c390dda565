// Shared vocabulary of the native code: what is searched, what is found, and what a backend offers.
// No logic lives here, and no type in this header has member functions: each ISA translation unit
// would emit its own copy of them, and the linker could keep the one this CPU cannot run.
#pragma once

#include <cstdint>

namespace hamming {

// Packed codes, one row per code, rows contiguous; the caller owns the memory.
struct CodesView {
  const std::uint8_t* data;
  std::int64_t n_codes;
  std::int64_t n_bytes;
};

// A candidate is one integer, distance above index, so that comparing integers compares
// (distance, then smaller index). It bounds what can be searched: distances below 2^24, 2^40 codes.
using Hit = std::uint64_t;
constexpr int kIndexBits = 40;
constexpr Hit kIndexMask = (Hit{1} << kIndexBits) - 1;

// Hits are offered in blocks of 64 codes, and those of a block are written with whole vector
// stores, up to eight places past the last.
constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kHitRoom = kBlock + 8;

// Tiles hold a multiple of so many codes: the longest run that an instruction set tests at once.
constexpr std::int64_t kTileUnit = 128;

constexpr std::int64_t kAnyQueries = INT64_MAX;

// The consecutive rows [begin, end) of a database against a block of queries.
struct Shard {
  CodesView db;
  std::int64_t begin;
  std::int64_t end;
  const std::uint8_t* mask;          // one byte per code of db, non-zero = searchable; or null
  const std::uint64_t* query_words;  // (n_queries, n_words), zero-padded
  std::int64_t n_queries;
  std::int64_t n_words;    // 64-bit words per code
  std::uint64_t* tile;     // 64-byte-aligned scratch for tile_codes codes
  std::uint8_t* gathered;  // with a mask: scratch for tile_codes rows, and for their numbers
  std::int64_t* gathered_rows;
  std::int64_t tile_codes;  // a multiple of kTileUnit
  bool rows;                // read rows where they are instead of copying them into tiles
};

// Top-k of one query over one shard: accept only distances below `limit`, append in index order.
// The limit is lowered when `count_at` hits have been appended, not at each. Aligned, because
// shards of neighbouring collectors run in different threads.
struct alignas(64) Collector {
  Hit* hits;
  std::int64_t size;
  std::int64_t capacity;    // at least k + kHitRoom
  std::int64_t* histogram;  // counted hits per distance, 8 * n_bytes + 2 entries
  std::int64_t k;
  std::int64_t counted;   // hits[0, counted) have been counted
  std::int64_t count_at;  // the size at which the others will be
  std::int64_t below;     // counted hits with distance < limit; fewer than k
  std::uint64_t limit;    // the k-th distance so far, or one more than the largest distance
};

// Radius search of one query over one shard. Counting fills `per_distance` and keeps the hits while
// there is room for them; filling reads `per_distance` as the next free position of each distance
// in the result.
struct alignas(64) RadiusSink {
  std::int64_t* per_distance;  // radius + 1 entries
  std::uint64_t limit;         // radius + 1
  std::int32_t* distances;     // null while counting
  std::int64_t* indices;
  Hit* hits;
  std::int64_t size;      // kept hits; -1 = there were more than fit
  std::int64_t capacity;  // 0 while filling
  std::int64_t n_hits;    // of the result: what a database that changes meanwhile adds is dropped
};

enum class Element : std::int32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kUint64,
  kInt64,
  kFloat32,
  kFloat64
};

struct PackArgs {
  const void* values;      // (n_rows, n_bits), contiguous
  const void* thresholds;  // (n_bits,), of the same element type
  Element element;
  std::int64_t n_bits;
  bool big_endian_bits;
  bool check_nan;
};

struct RescoreArgs {
  CodesView db;
  const float* queries;         // (n_queries, 8 * n_bytes), zero in the padding
  const std::int64_t* indices;  // (n_queries, n_candidates), -1 = no candidate
  std::int64_t n_candidates;
  bool big_endian_bits;
};

// One instruction set. Each entry works on one shard in one thread; threads, sharding, memory and
// merging belong to the callers (topk.cpp, radius.cpp, ...), which are compiled for any CPU.
struct Backend {
  const char* name;
  // Up to so many queries, rows of this width are better read in place; 0 where they cannot be.
  std::int64_t (*rows_queries)(std::int64_t n_bytes);
  std::int64_t (*tile_code_bytes)(std::int64_t n_bytes);  // of a code in a tile
  void (*scan_topk)(const Shard& shard, Collector* collectors);
  void (*scan_radius)(const Shard& shard, RadiusSink* sinks);
  void (*distance)(const Shard& shard, std::int32_t* out);  // out: (n_queries, db.n_codes)
  // Returns the first row of [begin, end) that holds a NaN, or -1.
  std::int64_t (*pack)(const PackArgs& args, std::int64_t begin, std::int64_t end,
                       std::uint8_t* out);
  // Adds the scores of candidates [begin, end) of one query to sums; a missing one's is undefined.
  void (*rescore)(const RescoreArgs& args, std::int64_t query, std::int64_t begin, std::int64_t end,
                  double* sums);
};

}  // namespace hamming
