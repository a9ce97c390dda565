// The scan, written once above any Isa: every query of a block sweeps a tile and offers what lies
// below its limit to its sink (a Collector or a RadiusSink).
//
// An Isa gives, for a group of eight codes:
//   Group                                   their eight distances
//   distances<W>(words, query, n_words)     W = 0: n_words at run time
//   min(Group, Group)                       lane by lane
//   below(Group, limit)                     bit i set where distance i < limit
//   store(Group, uint32_t*)
#pragma once

#include "../hamming.hpp"
#include "select.hpp"
#include "tile.hpp"
#include "words.hpp"

namespace hamming {
namespace {

constexpr int kGroups = static_cast<int>(kBlock / kGroup);

// The distances of one block of 64 codes; `candidates` has the bits of the codes to look at.
template <class Isa, class Sink>
inline void offer(const typename Isa::Group (&groups)[kGroups], std::uint64_t candidates,
                  std::int64_t first, Sink& sink) {
  std::uint64_t near = 0;
  for (int g = 0; g < kGroups; ++g) {
    near |= static_cast<std::uint64_t>(Isa::below(groups[g], sink.limit)) << (g * kGroup);
  }
  near &= candidates;
  if (near == 0) return;
  alignas(64) std::uint32_t distances[kBlock];
  for (int g = 0; g < kGroups; ++g) Isa::store(groups[g], distances + g * kGroup);
  for (; near != 0; near &= near - 1) {
    const int i = __builtin_ctzll(near);
    // The limit may have fallen since the block was compared.
    if (distances[i] < sink.limit) push(sink, distances[i], first + i);
  }
}

template <class Isa, int kWords>
inline void block_distances(const std::uint64_t* words, const std::uint64_t* query,
                            std::int64_t n_words, typename Isa::Group (&groups)[kGroups]) {
  const std::int64_t stride = kGroup * (kWords != 0 ? kWords : n_words);
  for (int g = 0; g < kGroups; ++g) {
    groups[g] = Isa::template distances<kWords>(words + g * stride, query, n_words);
  }
}

template <class Isa, int kWords, class Sink>
inline void sweep_tile(const Tile& tile, const std::uint64_t* query, std::int64_t n_words,
                       Sink& sink) {
  const std::int64_t stride = kBlock * (kWords != 0 ? kWords : n_words);
  const std::uint64_t* words = tile.words;
  typename Isa::Group groups[kGroups];
  std::int64_t done = 0;
  if (tile.mask == nullptr) {
    // One compare per 64 codes: compares and popcounts share a port on Intel, minima do not.
    for (; done + kBlock <= tile.n_codes; done += kBlock, words += stride) {
      block_distances<Isa, kWords>(words, query, n_words, groups);
      typename Isa::Group least = groups[0];
      for (int g = 1; g < kGroups; ++g) least = Isa::min(least, groups[g]);
      if (Isa::below(least, sink.limit) == 0) continue;
      offer<Isa>(groups, ~std::uint64_t{0}, tile.first + done, sink);
    }
  }
  for (; done < tile.n_codes; done += kBlock, words += stride) {
    const std::int64_t left = tile.n_codes - done;
    const std::uint64_t candidates = tile.mask != nullptr ? tile.mask[done / kBlock]
                                     : left < kBlock      ? (std::uint64_t{1} << left) - 1
                                                          : ~std::uint64_t{0};
    if (candidates == 0) continue;
    block_distances<Isa, kWords>(words, query, n_words, groups);
    offer<Isa>(groups, candidates, tile.first + done, sink);
  }
}

template <class Isa, class Sink>
inline void scan(const Shard& shard, Sink* sinks) {
  with_words(shard.n_words, [&](auto words) {
    constexpr int kWords = decltype(words)::value;
    for_each_tile(shard, [&](const Tile& tile) {
      for (std::int64_t q = 0; q < shard.n_queries; ++q) {
        sweep_tile<Isa, kWords>(tile, shard.query_words + q * shard.n_words, shard.n_words,
                                sinks[q]);
      }
    });
  });
}

// Every distance of the shard; out: (n_queries, db.n_codes).
template <class Isa>
inline void scan_distances(const Shard& shard, std::int32_t* out) {
  with_words(shard.n_words, [&](auto words) {
    constexpr int kWords = decltype(words)::value;
    const std::int64_t stride = kGroup * shard.n_words;
    for_each_tile(shard, [&](const Tile& tile) {
      for (std::int64_t q = 0; q < shard.n_queries; ++q) {
        const std::uint64_t* query = shard.query_words + q * shard.n_words;
        std::int32_t* row = out + q * shard.db.n_codes + tile.first;
        for (std::int64_t i = 0; i < tile.n_codes; i += kGroup) {
          const auto group = Isa::template distances<kWords>(tile.words + i / kGroup * stride,
                                                             query, shard.n_words);
          alignas(32) std::uint32_t distances[kGroup];
          Isa::store(group, distances);
          const std::int64_t count = tile.n_codes - i < kGroup ? tile.n_codes - i : kGroup;
          for (std::int64_t j = 0; j < count; ++j)
            row[i + j] = static_cast<std::int32_t>(distances[j]);
        }
      }
    });
  });
}

}  // namespace
}  // namespace hamming
