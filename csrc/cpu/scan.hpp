// The scan, written once above any Lanes: every query of a block sweeps a tile and offers what lies
// below its limit to its sink (a Collector or a RadiusSink).
//
// A Lanes object compares one query with the codes of a tile, a group of codes at a time:
//   kGroup, Group             codes in a group; a Group holds their distances
//   kRun                      codes that share one test against the limit, a multiple of kBlock
//   kQueries                  queries that sweep a tile together, 1 or 2
//   fill(shard, first, n)     copies rows into the tile's memory, in the form it reads
//   Lanes(shard, codes, query)
//   distances(g)              of group g of the tile
//   least(r)                  the lanes' minima over run r; least(one, two, r, Group&, Group&) for
//                             two queries
//   min(Group, Group)         lane by lane
//   below(Group, limit)       bit i set where distance i < limit
//   append(Group, limit, candidates, first, Hit*)   writes the hits among the candidates' bits that
//                             lie below the limit, in order, and returns how many they are; may
//                             write up to eight places past them
//   store(Group, uint32_t*)
#pragma once

#include "../hamming.hpp"
#include "select.hpp"
#include "tile.hpp"
#include "words.hpp"

namespace hamming {
namespace {

// Two chains of minima, so that their latency hides.
template <class Lanes>
inline typename Lanes::Group least_of_groups(const Lanes& lanes, std::int64_t run) {
  constexpr int kGroups = Lanes::kRun / Lanes::kGroup;
  static_assert(kGroups % 2 == 0, "two chains");
  auto even = lanes.distances(run * kGroups), odd = lanes.distances(run * kGroups + 1);
#pragma GCC unroll 8
  for (int g = 2; g < kGroups; g += 2) {
    even = Lanes::min(even, lanes.distances(run * kGroups + g));
    odd = Lanes::min(odd, lanes.distances(run * kGroups + g + 1));
  }
  return Lanes::min(even, odd);
}

// Lanes::append for those that have no compress: a store, and a loop over the hits.
template <class Lanes>
inline std::int64_t append_each(const typename Lanes::Group& group, std::uint64_t limit,
                                unsigned candidates, std::int64_t first, Hit* out) {
  const unsigned near = Lanes::below(group, limit) & candidates;
  if (near == 0) return 0;
  alignas(64) std::uint32_t lanes[Lanes::kGroup];
  Lanes::store(group, lanes);
  for (unsigned bits = near; bits != 0; bits &= bits - 1) {
    const int i = __builtin_ctz(bits);
    *out++ = Hit{lanes[i]} << kIndexBits | static_cast<Hit>(first + i);
  }
  return __builtin_popcount(near);
}

// So many runs or blocks are swept at a time. Those in which something lies below the limit are
// noted as bits, without a branch, and offered together: a branch for each would be mispredicted
// about as often as it is taken.
constexpr std::int64_t kSweep = 64;

inline std::uint64_t note(std::int64_t place, std::uint64_t near) {
  return std::uint64_t{near != 0} << place;
}

// Offers the codes of a block that lie below the limit. The distances are computed again: keeping
// them for this rare case would cost the common one a store each.
template <class Lanes, class Sink>
inline void offer_block(const Lanes& lanes, const Tile& tile, std::int64_t block,
                        std::uint64_t candidates, Sink& sink) {
  constexpr std::int64_t kGroups = kBlock / Lanes::kGroup;
  Hit scratch[kHitRoom];
  Hit* const hits = room_for_hits(sink, scratch);
  const std::int64_t place = block * kBlock;
  const std::int64_t first = tile.rows_of != nullptr ? place : tile.first + place;
  std::int64_t count = 0;
  for (std::int64_t g = 0; g < kGroups; ++g) {
    // No branch on whether the group has a hit: nobody could predict it.
    const auto distances = lanes.distances(block * kGroups + g);
    const auto offered = static_cast<unsigned>(candidates >> (g * Lanes::kGroup));
    count += Lanes::append(distances, sink.limit, offered, first + g * Lanes::kGroup, hits + count);
  }
  if (tile.rows_of != nullptr) {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = tile.rows_of[hit_index(hits[i])];
      hits[i] = (hits[i] & ~kIndexMask) | static_cast<Hit>(row);
    }
  }
  accept(sink, hits, count);
}

// The codes of a block, as bits: the last block of a tile may be incomplete.
inline std::uint64_t codes_of_block(const Tile& tile, std::int64_t block) {
  const std::int64_t left = tile.n_codes - block * kBlock;
  return left < kBlock ? (std::uint64_t{1} << left) - 1 : ~std::uint64_t{0};
}

// Those of them that are searchable.
inline std::uint64_t searchable_of_block(const Tile& tile, std::int64_t block) {
  const std::uint64_t codes = codes_of_block(tile, block);
  if (tile.mask == nullptr) return codes;
  const std::int64_t left = tile.n_codes - block * kBlock;
  return codes & nonzero_bits_of(tile.mask + block * kBlock, left, portable_nonzero_bits);
}

// Offers the noted places from `first` on, each of kBlocks blocks. Lanes come by value, so that
// those of the caller have no address and stay in registers.
template <std::int64_t kBlocks, class Lanes, class Sink>
[[gnu::noinline]] void offer(Lanes lanes, const Tile& tile, std::int64_t first, std::uint64_t noted,
                             Sink& sink) {
  for (; noted != 0; noted &= noted - 1) {
    const std::int64_t begin = (first + __builtin_ctzll(noted)) * kBlocks;
    for (std::int64_t block = begin; block < begin + kBlocks; ++block) {
      offer_block(lanes, tile, block, searchable_of_block(tile, block), sink);
    }
  }
}

// How far a sweep of rows in place asks ahead, in bytes. Left to the hardware, rows of 256 to 1024
// bits come at half the speed of memory or less.
constexpr std::int64_t kAhead = 8192;

template <class Lanes>
inline void prefetch_ahead(const Shard& shard, const Tile& tile, std::int64_t run) {
  const std::int64_t bytes = Lanes::kRun * shard.db.n_bytes;
  const auto* ahead = static_cast<const std::uint8_t*>(tile.codes) + run * bytes + kAhead;
  for (std::int64_t i = 0; i < bytes; i += kLine) __builtin_prefetch(ahead + i, 0, 3);
}

// Whole runs. One compare a run: compares and popcounts share a port on Intel, minima do not.
template <bool kPrefetch, class Lanes, class Sink>
inline void sweep_runs(const Shard& shard, const Tile& tile, const Lanes& lanes, Sink& sink) {
  const std::int64_t n_runs = tile.n_codes / Lanes::kRun;
  for (std::int64_t first = 0; first < n_runs; first += kSweep) {
    const std::int64_t count = n_runs - first < kSweep ? n_runs - first : kSweep;
    const std::uint64_t limit = sink.limit;
    std::uint64_t noted = 0;
    for (std::int64_t run = 0; run < count; ++run) {
      if constexpr (kPrefetch) prefetch_ahead<Lanes>(shard, tile, first + run);
      noted |= note(run, Lanes::below(lanes.least(first + run), limit));
    }
    if (noted != 0) offer<Lanes::kRun / kBlock>(lanes, tile, first, noted, sink);
  }
}

// The same for two queries, which share the loads of the codes.
template <bool kPrefetch, class Lanes, class Sink>
inline void sweep_runs(const Shard& shard, const Tile& tile, const Lanes& one, const Lanes& two,
                       Sink* sinks) {
  constexpr std::int64_t kBlocks = Lanes::kRun / kBlock;
  const std::int64_t n_runs = tile.n_codes / Lanes::kRun;
  for (std::int64_t first = 0; first < n_runs; first += kSweep) {
    const std::int64_t count = n_runs - first < kSweep ? n_runs - first : kSweep;
    const std::uint64_t limit_one = sinks[0].limit, limit_two = sinks[1].limit;
    std::uint64_t noted_one = 0, noted_two = 0;
    for (std::int64_t run = 0; run < count; ++run) {
      if constexpr (kPrefetch) prefetch_ahead<Lanes>(shard, tile, first + run);
      typename Lanes::Group least_one, least_two;
      Lanes::least(one, two, first + run, least_one, least_two);
      noted_one |= note(run, Lanes::below(least_one, limit_one));
      noted_two |= note(run, Lanes::below(least_two, limit_two));
    }
    if (noted_one != 0) offer<kBlocks>(one, tile, first, noted_one, sinks[0]);
    if (noted_two != 0) offer<kBlocks>(two, tile, first, noted_two, sinks[1]);
  }
}

// The blocks after the last whole run, of which the last may be incomplete.
template <class Lanes, class Sink>
inline void sweep_blocks(const Lanes& lanes, const Tile& tile, std::int64_t first, Sink& sink) {
  constexpr std::int64_t kGroups = kBlock / Lanes::kGroup;
  std::uint64_t noted = 0;
  for (std::int64_t block = 0; (first + block) * kBlock < tile.n_codes; ++block) {
    std::uint64_t near = 0;
    for (std::int64_t g = 0; g < kGroups; ++g) {
      const auto distances = lanes.distances((first + block) * kGroups + g);
      near |= std::uint64_t{Lanes::below(distances, sink.limit)} << (g * Lanes::kGroup);
    }
    // What lies past the last code must not reach the rare path.
    noted |= note(block, near & codes_of_block(tile, first + block));
  }
  if (noted != 0) offer<1>(lanes, tile, first, noted, sink);
}

template <class Lanes, class Sink>
inline void sweep_tile(const Shard& shard, const Tile& tile, Sink* sinks) {
  const auto lanes = [&](std::int64_t q) {
    return Lanes(shard, tile.codes, shard.query_words + q * shard.n_words);
  };
  const std::int64_t after_runs = tile.n_codes / Lanes::kRun * (Lanes::kRun / kBlock);
  const std::int64_t n_sweeps = (shard.n_queries + Lanes::kQueries - 1) / Lanes::kQueries;
  Prefetch prefetch(tile, n_sweeps);
  std::int64_t q = 0;
  if constexpr (Lanes::kQueries == 2) {
    for (; q + 2 <= shard.n_queries; q += 2) {
      const Lanes one = lanes(q), two = lanes(q + 1);
      prefetch.next_part();
      if (prefetch.ahead() && q == 0) {
        sweep_runs<true>(shard, tile, one, two, sinks);
      } else {
        sweep_runs<false>(shard, tile, one, two, sinks + q);
      }
      sweep_blocks(one, tile, after_runs, sinks[q]);
      sweep_blocks(two, tile, after_runs, sinks[q + 1]);
    }
  }
  for (; q < shard.n_queries; ++q) {
    const Lanes one = lanes(q);
    prefetch.next_part();
    if (prefetch.ahead() && q == 0) {
      sweep_runs<true>(shard, tile, one, sinks[q]);
    } else {
      sweep_runs<false>(shard, tile, one, sinks[q]);
    }
    sweep_blocks(one, tile, after_runs, sinks[q]);
  }
}

// An Isa calls back with the Lanes that suit a width: those of tiles, and those of rows in place.
template <class Isa, class Sink>
inline void scan(const Shard& shard, Sink* sinks) {
  if (shard.n_queries == 0) return;
  Isa::with_lanes(shard.db.n_bytes, [&](auto tiled, auto rows) {
    using Tiled = typename decltype(tiled)::type;
    using Rows = typename decltype(rows)::type;
    for_each_tile<Isa>(shard, Tiled::fill, [&](const Tile& tile) {
      if (tile.rows) {
        sweep_tile<Rows>(shard, tile, sinks);
      } else {
        sweep_tile<Tiled>(shard, tile, sinks);
      }
    });
  });
}

// Every distance of the shard; out: (n_queries, db.n_codes).
template <class Isa>
inline void scan_distances(Shard shard, std::int32_t* out) {
  shard.rows = false;
  Isa::with_lanes(shard.db.n_bytes, [&](auto tiled, auto) {
    using Lanes = typename decltype(tiled)::type;
    for_each_tile<Isa>(shard, Lanes::fill, [&](const Tile& tile) {
      for (std::int64_t q = 0; q < shard.n_queries; ++q) {
        const Lanes lanes(shard, tile.codes, shard.query_words + q * shard.n_words);
        std::int32_t* row = out + q * shard.db.n_codes + tile.first;
        for (std::int64_t i = 0; i < tile.n_codes; i += Lanes::kGroup) {
          alignas(64) std::uint32_t distances[Lanes::kGroup];
          Lanes::store(lanes.distances(i / Lanes::kGroup), distances);
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
