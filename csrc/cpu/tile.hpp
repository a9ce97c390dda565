// A tile is a run of codes copied once into aligned memory that stays in L1 while every query of
// the block sweeps it. How codes lie in a tile belongs to the Lanes that read it (scan.hpp).
#pragma once

#include "../hamming.hpp"
#include "pack.hpp"

namespace hamming {
namespace {

// A run of codes, in the form its Lanes read: a filled tile or, where `rows`, the database's own
// rows.
struct Tile {
  const void* codes;
  const std::uint64_t* mask;  // one word per block; null when every code is searchable
  std::int64_t first;         // database row of the first code
  std::int64_t n_codes;
  bool rows;
  const std::uint8_t* next;  // the rows of the tile after this one
  std::int64_t next_bytes;
};

// Asks for part `part` of `n_parts` of the next tile's rows. Spread over the sweeps of a tile, the
// database comes from memory while the codes are compared, and not before.
inline void prefetch_next(const Tile& tile, std::int64_t part, std::int64_t n_parts) {
  if (n_parts < 4) return;  // as fast without: the hardware prefetches a plain read
  constexpr std::int64_t kLine = 64;
  const std::int64_t n_lines = tile.next_bytes / kLine;
  for (std::int64_t i = n_lines * part / n_parts; i < n_lines * (part + 1) / n_parts; ++i) {
    __builtin_prefetch(tile.next + i * kLine, 0, 2);  // into the second-level cache
  }
}

// __builtin_memcpy, not std::memcpy: no library template or inline may be emitted with ISA flags.
template <class Word>
inline Word load_word(const std::uint8_t* bytes, std::int64_t n_bytes = sizeof(Word)) {
  Word word = 0;
  __builtin_memcpy(&word, bytes, static_cast<std::size_t>(n_bytes));
  return word;
}

// Rows as whole words, zero-padded.
template <class Word>
inline void pad_rows(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  constexpr std::int64_t kSize = sizeof(Word);
  const std::int64_t n_bytes = shard.db.n_bytes;
  const std::int64_t whole = n_bytes / kSize, tail = n_bytes % kSize;
  const std::uint8_t* row = shard.db.data + first * n_bytes;
  Word* out = reinterpret_cast<Word*>(shard.tile);
  for (std::int64_t i = 0; i < n_codes; ++i, row += n_bytes) {
    for (std::int64_t w = 0; w < whole; ++w) *out++ = load_word<Word>(row + kSize * w);
    if (tail != 0) *out++ = load_word<Word>(row + kSize * whole, tail);
  }
}

// Bit i of a word says whether code i of the block is searchable; rows past the end are not.
// Returns false when nothing in the tile is.
inline bool fill_mask(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  std::uint64_t any = 0;
  for (std::int64_t begin = 0; begin < n_codes; begin += kBlock) {
    const std::int64_t count = n_codes - begin < kBlock ? n_codes - begin : kBlock;
    std::uint8_t flags[kBlock] = {};
    __builtin_memcpy(flags, shard.mask + first + begin, static_cast<std::size_t>(count));
    for (int i = 0; i < kBlock; ++i) flags[i] = flags[i] != 0;  // gather_bits takes 0 and 1 only
    std::uint64_t bits = 0;
    for (int i = 0; i < kBlock; i += 8) {
      bits |= static_cast<std::uint64_t>(gather_bits(flags + i, false)) << i;
    }
    shard.tile_mask[begin / kBlock] = bits;
    any |= bits;
  }
  return any != 0;
}

// Calls visit(tile) for the tiles of a shard in ascending row order; skips tiles with nothing to
// find. fill(shard, first, n_codes) copies rows into the tile's memory.
template <class Fill, class Visit>
inline void for_each_tile(const Shard& shard, Fill&& fill, Visit&& visit) {
  for (std::int64_t first = shard.begin; first < shard.end;) {
    const std::int64_t left = shard.end - first;
    std::int64_t n_codes = left < shard.tile_codes ? left : shard.tile_codes;
    // Rows are read in whole blocks; the last, incomplete one goes through the tile.
    const bool rows = shard.rows && n_codes >= kBlock;
    if (rows) n_codes -= n_codes % kBlock;
    if (shard.mask == nullptr || fill_mask(shard, first, n_codes)) {
      const std::int64_t after = left - n_codes;
      Tile tile{shard.tile,
                shard.mask != nullptr ? shard.tile_mask : nullptr,
                first,
                n_codes,
                rows,
                shard.db.data + (first + n_codes) * shard.db.n_bytes,
                (after < shard.tile_codes ? after : shard.tile_codes) * shard.db.n_bytes};
      if (rows) {
        tile.codes = shard.db.data + first * shard.db.n_bytes;
      } else {
        fill(shard, first, n_codes);
      }
      visit(tile);
    }
    first += n_codes;
  }
}

}  // namespace
}  // namespace hamming
