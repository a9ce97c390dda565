// A tile is a run of codes copied once into aligned memory that stays in L1 while every query of
// the block sweeps it. How codes lie in a tile belongs to the Lanes that read it (scan.hpp).
#pragma once

#include "../hamming.hpp"
#include "mask.hpp"

namespace hamming {
namespace {

// A run of codes, in the form its Lanes read: a filled tile or, where `rows`, the database's own
// rows.
struct Tile {
  const void* codes;
  const std::int64_t* rows_of;  // the database row of each code; null: first, first + 1, ...
  const std::uint8_t* mask;     // a byte a code, non-zero = searchable; null: all are
  std::int64_t first;
  std::int64_t n_codes;
  bool rows;
  const std::uint8_t* next;  // the rows of the tile after this one
  std::int64_t next_bytes;
};

constexpr std::int64_t kLine = 64;

// Asks for the rows of the next tile, a part with each sweep of this one: the database comes from
// memory while codes are compared, and not before.
class Prefetch {
 public:
  // n_sweeps: at least 1.
  Prefetch(const Tile& tile, std::int64_t n_sweeps)
      : ahead_(tile.rows && n_sweeps < kFewSweeps),
        address_(tile.next),
        end_(tile.next + tile.next_bytes),
        lines_(ahead_ ? 0 : (tile.next_bytes / kLine + n_sweeps - 1) / n_sweeps) {}

  inline void next_part() {
    for (std::int64_t i = 0; i < lines_ && address_ < end_; ++i, address_ += kLine) {
      __builtin_prefetch(address_, 0, 2);  // into the second-level cache
    }
  }

  // Rows in place and few sweeps: no parts; the first sweep asks for what it reads a little later.
  inline bool ahead() const { return ahead_; }

 private:
  static constexpr std::int64_t kFewSweeps = 4;
  bool ahead_;
  const std::uint8_t* address_;
  const std::uint8_t* end_;
  std::int64_t lines_;
};

// __builtin_memcpy, not std::memcpy: no library template or inline may be emitted with ISA flags.
template <class Word>
inline Word load_word(const std::uint8_t* bytes, std::int64_t n_bytes = sizeof(Word)) {
  Word word = 0;
  __builtin_memcpy(&word, bytes, static_cast<std::size_t>(n_bytes));
  return word;
}

// How many rows from `first` on may be read `reach` bytes far, be that past their end or not.
inline std::int64_t readable_rows(const CodesView& db, std::int64_t first, std::int64_t reach) {
  const std::int64_t spare = (db.n_codes - first) * db.n_bytes - reach;
  return spare < 0 ? 0 : spare / db.n_bytes + 1;
}

// Rows shorter than a word, zero-padded: whole words are loaded where the database goes on, because
// a copy of so few bytes costs more than the comparison.
template <class Word>
inline void pad_short_rows(const Shard& shard, std::int64_t first, std::int64_t n_codes,
                           Word* out) {
  constexpr std::int64_t kSize = sizeof(Word);
  const std::int64_t n_bytes = shard.db.n_bytes;
  const Word bits = static_cast<Word>((Word{1} << (8 * n_bytes)) - 1);
  const std::int64_t loadable = readable_rows(shard.db, first, kSize);
  const std::int64_t whole = loadable < n_codes ? loadable : n_codes;
  const std::uint8_t* row = shard.db.data + first * n_bytes;
  std::int64_t i = 0;
  for (; i < whole; ++i, row += n_bytes) out[i] = load_word<Word>(row) & bits;
  for (; i < n_codes; ++i, row += n_bytes) out[i] = load_word<Word>(row, n_bytes);
}

// Rows as whole words, zero-padded.
template <class Word>
inline void pad_rows(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  constexpr std::int64_t kSize = sizeof(Word);
  const std::int64_t n_bytes = shard.db.n_bytes;
  Word* out = reinterpret_cast<Word*>(shard.tile);
  if (n_bytes < kSize) return pad_short_rows(shard, first, n_codes, out);
  const std::int64_t whole = n_bytes / kSize, tail = n_bytes % kSize;
  const std::uint8_t* row = shard.db.data + first * n_bytes;
  for (std::int64_t i = 0; i < n_codes; ++i, row += n_bytes) {
    for (std::int64_t w = 0; w < whole; ++w) *out++ = load_word<Word>(row + kSize * w);
    // The last whole word of the row, of which the tail is the upper part.
    if (tail != 0) *out++ = load_word<Word>(row + n_bytes - kSize) >> (8 * (kSize - tail));
  }
}

inline const std::uint8_t* mask_at(const Shard& shard, std::int64_t row) {
  return shard.mask != nullptr ? shard.mask + row : nullptr;
}

// Visits codes [first, first + n_codes) of a shard, at most a tile of them. Rows are read in whole
// blocks, those of which the database holds all that is loaded: Isa::reach(n_bytes) bytes from the
// row's begin. What is left goes through the tile; fill(shard, first, n_codes) copies rows there.
template <class Isa, class Fill, class Visit>
inline void visit_codes(const Shard& shard, const std::int64_t* rows_of, std::int64_t first,
                        std::int64_t n_codes, Fill&& fill, Visit&& visit) {
  const std::int64_t n_bytes = shard.db.n_bytes;
  const std::int64_t readable = readable_rows(shard.db, first, Isa::reach(n_bytes));
  const std::int64_t in_place =
      shard.rows ? (readable < n_codes ? readable : n_codes) / kBlock * kBlock : 0;
  if (in_place > 0) {
    const std::int64_t after = shard.end - first - in_place;
    const std::int64_t next = after < shard.tile_codes ? after : shard.tile_codes;
    const std::uint8_t* codes = shard.db.data + first * n_bytes;
    visit(Tile{codes, rows_of, mask_at(shard, first), first, in_place, true,
               codes + in_place * n_bytes, next * n_bytes});
  }
  if (in_place < n_codes) {
    const std::int64_t begin = first + in_place, end = first + n_codes;
    const std::int64_t after = shard.end - end;
    const std::int64_t next = after < shard.tile_codes ? after : shard.tile_codes;
    fill(shard, begin, end - begin);
    visit(Tile{shard.tile, rows_of != nullptr ? rows_of + in_place : nullptr, mask_at(shard, begin),
               begin, end - begin, false, shard.db.data + end * n_bytes, next * n_bytes});
  }
}

// Visits the codes of a shard in ascending order of their rows.
template <class Isa, class Fill, class Visit>
inline void for_each_tile(const Shard& shard, Fill&& fill, Visit&& visit) {
  for (std::int64_t row = shard.begin; row < shard.end;) {
    if (shard.mask == nullptr || in_place_pays<Isa>(shard, row)) {
      const std::int64_t left = shard.end - row;
      const std::int64_t n_codes = left < shard.tile_codes ? left : shard.tile_codes;
      visit_codes<Isa>(shard, nullptr, row, n_codes, fill, visit);
      row += n_codes;
      continue;
    }
    const std::int64_t n_codes = gather<Isa>(shard, row);
    Shard gathered = shard;
    gathered.mask = nullptr;
    gathered.db = {shard.gathered, n_codes, shard.db.n_bytes};
    gathered.end = n_codes;  // nothing after it to prefetch
    visit_codes<Isa>(gathered, shard.gathered_rows, 0, n_codes, fill, visit);
  }
}

}  // namespace
}  // namespace hamming
