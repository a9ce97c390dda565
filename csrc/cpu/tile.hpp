// A tile is a run of codes copied once into aligned memory that stays in L1 while every query of
// the block sweeps it. Codes stand in groups of eight, word-sliced: word w of the eight codes of a
// group is one 64-byte line, so a group's distances are plain vertical adds and no horizontal sum
// is needed. Rows that are no multiple of eight bytes are zero-padded here, and only here.
#pragma once

#include "../hamming.hpp"

namespace hamming {
namespace {

constexpr std::int64_t kGroup = 8;
constexpr std::int64_t kBlock = 64;  // codes that share one mask word and one limit test

struct Tile {
  const std::uint64_t* words;
  const std::uint64_t* mask;  // one word per block; null when every code is searchable
  std::int64_t first;         // database row of the first code
  std::int64_t n_codes;
};

// __builtin_memcpy, not std::memcpy: no library template or inline may be emitted with ISA flags.
inline std::uint64_t load_word(const std::uint8_t* bytes) {
  std::uint64_t word;
  __builtin_memcpy(&word, bytes, sizeof word);
  return word;
}

inline std::uint64_t load_tail(const std::uint8_t* bytes, std::int64_t n_bytes) {
  std::uint64_t word = 0;
  __builtin_memcpy(&word, bytes, static_cast<std::size_t>(n_bytes));
  return word;
}

inline void slice_words(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  const std::int64_t n_bytes = shard.db.n_bytes, n_words = shard.n_words;
  const std::int64_t whole = n_bytes / 8, tail = n_bytes % 8;
  for (std::int64_t i = 0; i < n_codes; ++i) {
    const std::uint8_t* row = shard.db.data + (first + i) * n_bytes;
    std::uint64_t* out = shard.tile + (i / kGroup) * kGroup * n_words + i % kGroup;
    for (std::int64_t w = 0; w < whole; ++w) out[w * kGroup] = load_word(row + 8 * w);
    if (tail != 0) out[whole * kGroup] = load_tail(row + 8 * whole, tail);
  }
}

// Bit i of a word says whether code i of the block is searchable; rows past the end are not.
// Returns false when nothing in the tile is.
inline bool fill_mask(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  std::uint64_t any = 0;
  for (std::int64_t begin = 0; begin < n_codes; begin += kBlock) {
    const std::int64_t count = n_codes - begin < kBlock ? n_codes - begin : kBlock;
    std::uint64_t bits = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      bits |= static_cast<std::uint64_t>(shard.mask[first + begin + i] != 0) << i;
    }
    shard.tile_mask[begin / kBlock] = bits;
    any |= bits;
  }
  return any != 0;
}

// Calls visit(tile) for the tiles of a shard in ascending row order; skips tiles with nothing to
// find.
template <class Visit>
inline void for_each_tile(const Shard& shard, Visit&& visit) {
  for (std::int64_t first = shard.begin; first < shard.end; first += shard.tile_codes) {
    const std::int64_t left = shard.end - first;
    const std::int64_t n_codes = left < shard.tile_codes ? left : shard.tile_codes;
    if (shard.mask != nullptr && !fill_mask(shard, first, n_codes)) continue;
    Tile tile{shard.tile, shard.mask != nullptr ? shard.tile_mask : nullptr, first, n_codes};
    if (shard.in_place && n_codes % kBlock == 0) {
      tile.words = reinterpret_cast<const std::uint64_t*>(shard.db.data + first * 8);
    } else {
      slice_words(shard, first, n_codes);
    }
    visit(tile);
  }
}

}  // namespace
}  // namespace hamming
