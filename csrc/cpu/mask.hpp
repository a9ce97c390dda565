// Masked searches, a tile at a time. Where most rows are searchable, all are swept as if there were
// no mask, which is asked when a row is near enough: such a search costs what it would without one.
// Elsewhere the searchable rows are gathered, as many as fit a tile, and swept like any others: it
// costs what its mask leaves, and blocks that the mask excludes are not even read. Which row a
// gathered code came from is kept beside it.
#pragma once

#include "../hamming.hpp"
#include "pack.hpp"

namespace hamming {
namespace {

// Bit i says whether byte i of a block is not zero: what an instruction set does not do better.
inline std::uint64_t portable_nonzero_bits(const std::uint8_t* bytes) {
  std::uint64_t bits = 0;
  for (int i = 0; i < kBlock; i += 8) {
    std::uint8_t flags[8];
    for (int j = 0; j < 8; ++j) flags[j] = bytes[i + j] != 0;  // gather_bits takes 0 and 1 only
    bits |= static_cast<std::uint64_t>(gather_bits(flags, false)) << i;
  }
  return bits;
}

// The same for a block of which only `left` bytes may be read.
template <class NonzeroBits>
inline std::uint64_t nonzero_bits_of(const std::uint8_t* bytes, std::int64_t left,
                                     NonzeroBits&& nonzero_bits) {
  if (left >= kBlock) return nonzero_bits(bytes);
  std::uint8_t flags[kBlock] = {};
  __builtin_memcpy(flags, bytes, static_cast<std::size_t>(left));
  return nonzero_bits(flags);
}

// The searchable rows of the block that begins at `row`, as bits.
template <class Isa>
inline std::uint64_t searchable(const Shard& shard, std::int64_t row) {
  return nonzero_bits_of(shard.mask + row, shard.end - row, Isa::nonzero_bits);
}

// Whether the rows of the tile that begins at `row` cost less in place than gathered, judged by a
// few blocks. To gather a row costs as much as some comparisons (Isa::gather_cost: measured at 64
// and 256 bits, 1 to 10 queries), of which each query is spared one for each row that is not
// searchable.
template <class Isa>
inline bool in_place_pays(const Shard& shard, std::int64_t row) {
  constexpr std::int64_t kBlocks = 4;
  const std::int64_t left = shard.end - row;
  const std::int64_t rows = left < shard.tile_codes ? left : shard.tile_codes;
  const std::int64_t apart = rows / kBlocks / kBlock * kBlock;
  std::int64_t ones = 0, seen = 0;
  for (std::int64_t i = 0; i < kBlocks && i * apart < rows; ++i) {
    const std::int64_t here = left - i * apart;
    ones += __builtin_popcountll(searchable<Isa>(shard, row + i * apart));
    seen += here < kBlock ? here : kBlock;
    if (apart == 0) break;
  }
  return ones * Isa::gather_cost(shard.db.n_bytes) >= (seen - ones) * shard.n_queries;
}

// Appends the rows of a block; kBytes = 0: rows of any width. Returns the new number of codes.
template <int kBytes>
inline std::int64_t gather_block(const Shard& shard, std::int64_t row, std::uint64_t bits,
                                 std::int64_t n_codes) {
  const std::int64_t n_bytes = kBytes != 0 ? kBytes : shard.db.n_bytes;
  const std::uint8_t* const rows = shard.db.data + row * n_bytes;
  const auto take = [&](std::int64_t i) {
    __builtin_memcpy(shard.gathered + n_codes * n_bytes, rows + i * n_bytes,
                     static_cast<std::size_t>(n_bytes));
    shard.gathered_rows[n_codes] = row + i;
  };
  // Many of the block: all are copied, each over the last unless that one is searchable, because
  // nobody could predict a branch for each.
  constexpr int kMany = 20;
  const std::int64_t left = shard.end - row;
  if (kBytes != 0 && left >= kBlock && __builtin_popcountll(bits) >= kMany) {
    for (std::int64_t i = 0; i < kBlock; ++i) {
      take(i);
      n_codes += static_cast<std::int64_t>(bits >> i & 1);
    }
    return n_codes;
  }
  for (; bits != 0; bits &= bits - 1) {
    take(__builtin_ctzll(bits));
    ++n_codes;
  }
  return n_codes;
}

// Gathers searchable rows from `row` on until a tile is full; moves `row` past those looked at and
// returns how many codes there are.
template <class Isa, int kBytes>
inline std::int64_t gather_rows(const Shard& shard, std::int64_t& row) {
  std::int64_t n_codes = 0;
  for (; row < shard.end && n_codes + kBlock <= shard.tile_codes; row += kBlock) {
    const std::uint64_t bits = searchable<Isa>(shard, row);
    if (bits != 0) n_codes = gather_block<kBytes>(shard, row, bits, n_codes);
  }
  return n_codes;
}

template <class Isa>
inline std::int64_t gather(const Shard& shard, std::int64_t& row) {
  switch (shard.db.n_bytes) {
    case 4: return gather_rows<Isa, 4>(shard, row);
    case 8: return gather_rows<Isa, 8>(shard, row);
    case 16: return gather_rows<Isa, 16>(shard, row);
    case 32: return gather_rows<Isa, 32>(shard, row);
    default: return gather_rows<Isa, 0>(shard, row);
  }
}

}  // namespace
}  // namespace hamming
