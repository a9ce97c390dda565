// The scan, written once above any Lanes: every query of a block sweeps a tile and offers what lies
// below its limit to its sink (a Collector or a RadiusSink).
//
// A Lanes type compares one query with a group of kGroup codes at a time:
//   Word, kGroup, Group                        a Group holds kGroup distances
//   sliced<W>(words, query, n_words)           from a tile; W = 0: n_words at run time
//   rows<W>(bytes, n_bytes, query, n_words)    from the database's rows, where has_rows(n_bytes)
//   min(Group, Group)                          lane by lane
//   below(Group, limit)                        bit i set where distance i < limit
//   append(Group, bits, first, Hit*)           writes the hits of the set bits, in order; may write
//                                              up to eight places
//   store(Group, uint32_t*)
#pragma once

#include "../hamming.hpp"
#include "select.hpp"
#include "tile.hpp"
#include "words.hpp"

namespace hamming {
namespace {

// A query and the codes of a tile: distances(g) are those of group g.
template <class Lanes, int kWords>
struct SlicedCodes {
  const typename Lanes::Word* words;
  const typename Lanes::Word* query;
  std::int64_t n_words;

  inline typename Lanes::Group distances(std::int64_t group) const {
    const std::int64_t stride = Lanes::kGroup * (kWords != 0 ? kWords : n_words);
    return Lanes::template sliced<kWords>(words + group * stride, query, n_words);
  }
};

template <class Lanes, int kWords>
struct RowCodes {
  const std::uint8_t* bytes;
  std::int64_t n_bytes;
  const typename Lanes::Word* query;
  std::int64_t n_words;

  inline typename Lanes::Group distances(std::int64_t group) const {
    return Lanes::template rows<kWords>(bytes + group * Lanes::kGroup * n_bytes, n_bytes, query,
                                        n_words);
  }
};

template <class Lanes>
constexpr std::int64_t kGroups = kBlock / Lanes::kGroup;

// Offers the codes of a block that lie below the limit. The distances are computed again: keeping
// them for this rare case would cost the common one a store each.
template <class Lanes, class Codes, class Sink>
[[gnu::noinline]] void offer(const Codes& codes, std::int64_t block, std::uint64_t candidates,
                             std::int64_t first, Sink& sink) {
  Hit scratch[kHitRoom];
  Hit* const hits = room_for_hits(sink, scratch);
  std::int64_t count = 0;
  for (std::int64_t g = 0; g < kGroups<Lanes>; ++g) {
    // No branch on whether the group has a hit: nobody could predict it.
    const auto distances = codes.distances(block * kGroups<Lanes> + g);
    const std::uint64_t offered = candidates >> (g * Lanes::kGroup);
    const unsigned near = Lanes::below(distances, sink.limit) & static_cast<unsigned>(offered);
    Lanes::append(distances, near, first + g * Lanes::kGroup, hits + count);
    count += __builtin_popcount(near);
  }
  accept(sink, hits, count);
}

template <class Lanes, class Codes, class Sink>
inline void sweep(const Codes& codes, const Tile& tile, Sink& sink) {
  const std::int64_t whole = tile.n_codes / kBlock;
  std::int64_t block = 0;
  if (tile.mask == nullptr) {
    // One compare per 64 codes: compares and popcounts share a port on Intel, minima do not.
    for (; block < whole; ++block) {
      auto least = codes.distances(block * kGroups<Lanes>);
      for (std::int64_t g = 1; g < kGroups<Lanes>; ++g) {
        least = Lanes::min(least, codes.distances(block * kGroups<Lanes> + g));
      }
      if (Lanes::below(least, sink.limit) == 0) continue;
      offer<Lanes>(codes, block, ~std::uint64_t{0}, tile.first + block * kBlock, sink);
    }
  }
  // Masked blocks, and the last, incomplete one.
  for (; block * kBlock < tile.n_codes; ++block) {
    const std::int64_t left = tile.n_codes - block * kBlock;
    const std::uint64_t candidates = tile.mask != nullptr ? tile.mask[block]
                                     : left < kBlock      ? (std::uint64_t{1} << left) - 1
                                                          : ~std::uint64_t{0};
    if (candidates == 0) continue;
    // The mask is part of the test: a near code that may not be found must not reach the rare path.
    std::uint64_t near = 0;
    for (std::int64_t g = 0; g < kGroups<Lanes>; ++g) {
      const auto distances = codes.distances(block * kGroups<Lanes> + g);
      near |= std::uint64_t{Lanes::below(distances, sink.limit)} << (g * Lanes::kGroup);
    }
    if ((near & candidates) == 0) continue;
    offer<Lanes>(codes, block, candidates, tile.first + block * kBlock, sink);
  }
}

template <class Lanes, int kWords, class Sink>
inline void scan_words(const Shard& shard, Sink* sinks) {
  using Word = typename Lanes::Word;
  for_each_tile<Word, Lanes::kGroup, kWords>(shard, [&](const Tile& tile) {
    for (std::int64_t q = 0; q < shard.n_queries; ++q) {
      // A word of a narrower Lanes is the low part of the only 64-bit word: bytes are
      // little-endian.
      const Word* query = reinterpret_cast<const Word*>(shard.query_words + q * shard.n_words);
      if (tile.rows) {
        const RowCodes<Lanes, kWords> codes{static_cast<const std::uint8_t*>(tile.codes),
                                            shard.db.n_bytes, query, shard.n_words};
        sweep<Lanes>(codes, tile, sinks[q]);
      } else {
        const SlicedCodes<Lanes, kWords> codes{static_cast<const Word*>(tile.codes), query,
                                               shard.n_words};
        sweep<Lanes>(codes, tile, sinks[q]);
      }
    }
  });
}

// An Isa names its Lanes: Wide for 64-bit words, Narrow for codes of at most 32 bits.
template <class Isa, class Sink>
inline void scan(const Shard& shard, Sink* sinks) {
  if (shard.db.n_bytes <= 4) return scan_words<typename Isa::Narrow, 1>(shard, sinks);
  with_words(shard.n_words, [&](auto words) {
    scan_words<typename Isa::Wide, decltype(words)::value>(shard, sinks);
  });
}

// Every distance of the shard; out: (n_queries, db.n_codes).
template <class Isa>
inline void scan_distances(Shard shard, std::int32_t* out) {
  shard.rows = false;
  using Lanes = typename Isa::Wide;
  with_words(shard.n_words, [&](auto words) {
    constexpr int kWords = decltype(words)::value;
    for_each_tile<typename Lanes::Word, Lanes::kGroup, kWords>(shard, [&](const Tile& tile) {
      for (std::int64_t q = 0; q < shard.n_queries; ++q) {
        const SlicedCodes<Lanes, kWords> codes{static_cast<const typename Lanes::Word*>(tile.codes),
                                               shard.query_words + q * shard.n_words,
                                               shard.n_words};
        std::int32_t* row = out + q * shard.db.n_codes + tile.first;
        for (std::int64_t i = 0; i < tile.n_codes; i += Lanes::kGroup) {
          alignas(64) std::uint32_t distances[Lanes::kGroup];
          Lanes::store(codes.distances(i / Lanes::kGroup), distances);
          const std::int64_t left = tile.n_codes - i;
          const std::int64_t count = left < Lanes::kGroup ? left : Lanes::kGroup;
          __builtin_memcpy(row + i, distances, static_cast<std::size_t>(count) * sizeof *row);
        }
      }
    });
  });
}

}  // namespace
}  // namespace hamming
