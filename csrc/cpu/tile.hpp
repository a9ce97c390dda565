// A tile is a run of codes copied once into aligned memory that stays in L1 while every query of
// the block sweeps it. Codes stand in groups as wide as a vector, word-sliced: word w of all codes
// of a group is one 64-byte line, so distances are plain vertical adds and no horizontal sum is
// needed. Rows that are no multiple of a word are zero-padded here, and only here.
#pragma once

#include "../hamming.hpp"
#include "pack.hpp"

namespace hamming {
namespace {

// A run of codes, in the form the sweep reads: sliced words or, where `rows`, the database's own
// rows.
struct Tile {
  const void* codes;
  const std::uint64_t* mask;  // one word per block; null when every code is searchable
  std::int64_t first;         // database row of the first code
  std::int64_t n_codes;
  bool rows;
};

// __builtin_memcpy, not std::memcpy: no library template or inline may be emitted with ISA flags.
template <class Word>
inline Word load_word(const std::uint8_t* bytes, std::int64_t n_bytes = sizeof(Word)) {
  Word word = 0;
  __builtin_memcpy(&word, bytes, static_cast<std::size_t>(n_bytes));
  return word;
}

// kWords = 0: rows of any width. Otherwise rows are kWords whole words, and both loops unroll.
template <class Word, int kGroup, int kWords>
inline void slice_rows(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  constexpr std::int64_t kSize = sizeof(Word);
  const std::int64_t n_bytes = kWords != 0 ? kWords * kSize : shard.db.n_bytes;
  const std::int64_t whole = n_bytes / kSize, tail = n_bytes % kSize;
  const std::int64_t n_words = whole + (tail != 0);
  Word* out = reinterpret_cast<Word*>(shard.tile);
  const std::uint8_t* row = shard.db.data + first * n_bytes;
  for (std::int64_t left = n_codes; left > 0; left -= kGroup) {
    const std::int64_t count = left < kGroup ? left : kGroup;
    for (std::int64_t i = 0; i < count; ++i, row += n_bytes) {
      for (std::int64_t w = 0; w < whole; ++w) {
        out[w * kGroup + i] = load_word<Word>(row + kSize * w);
      }
      if (tail != 0) out[whole * kGroup + i] = load_word<Word>(row + kSize * whole, tail);
    }
    out += kGroup * n_words;
  }
}

template <class Word, int kGroup, int kWords>
inline void slice(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  constexpr std::int64_t kSize = sizeof(Word);
  if (shard.db.n_bytes == kSize) {  // rows of one word are sliced already
    __builtin_memcpy(shard.tile, shard.db.data + first * kSize,
                     static_cast<std::size_t>(n_codes * kSize));
  } else if (shard.db.n_bytes == kSize * kWords) {
    slice_rows<Word, kGroup, kWords>(shard, first, n_codes);
  } else {
    slice_rows<Word, kGroup, 0>(shard, first, n_codes);
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
// find.
template <class Word, int kGroup, int kWords, class Visit>
inline void for_each_tile(const Shard& shard, Visit&& visit) {
  for (std::int64_t first = shard.begin; first < shard.end;) {
    const std::int64_t left = shard.end - first;
    std::int64_t n_codes = left < shard.tile_codes ? left : shard.tile_codes;
    // Rows are read in whole blocks; the last, incomplete one goes through the tile, zero-padded.
    const bool rows = shard.rows && n_codes >= kBlock;
    if (rows) n_codes -= n_codes % kBlock;
    if (shard.mask == nullptr || fill_mask(shard, first, n_codes)) {
      Tile tile{shard.tile, shard.mask != nullptr ? shard.tile_mask : nullptr, first, n_codes,
                rows};
      if (rows) {
        tile.codes = shard.db.data + first * shard.db.n_bytes;
      } else {
        slice<Word, kGroup, kWords>(shard, first, n_codes);
      }
      visit(tile);
    }
    first += n_codes;
  }
}

}  // namespace
}  // namespace hamming
