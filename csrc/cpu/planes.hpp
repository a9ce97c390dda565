// Byte planes: a tile holds byte b of many codes side by side, so that a vector of bytes counts as
// many codes as it has bytes. One instruction then adds the counts of 16 or 32 codes, where whole
// words would need a horizontal sum of their bytes. The bytes of a plane may be kept as two planes
// of nibbles: whoever counts by table lookup has the query in the table, and xor, shift and mask
// disappear (the layout of product quantisation's fast scan: Andre et al., VLDB 2015).
//
// An instruction set gives its vectors as a type V:
//   kLanes, Bytes, Shorts    codes to a vector, and vectors of so many sums of 8 and 16 bits
//   kPlanes                  1: a plane for each byte; 2: one for each nibble
//   zero(), zero_shorts()
//   ByteQuery(byte).count(planes, stride)   Bytes: the bits in which the codes' byte differs
//   add(Bytes, Bytes), widen_add(Shorts, Bytes)
//   min, below, store        as in scan.hpp, of Bytes and of Shorts; store writes uint16_t
//   Half                     16 bytes, for filling tiles: load_pair(first, second) of 8 bytes each,
//                            zip_low, zip_high and store_planes(Half, planes, stride)
#pragma once

#include "../hamming.hpp"
#include "scan.hpp"

namespace hamming {
namespace {

// Bytes whose counts fit in a byte, and in 16 bits.
constexpr std::int64_t kByteSum = 31;
constexpr std::int64_t kShortSum = 8191;

template <class V, bool kWide>
struct SumsOf {
  using type = typename V::Bytes;
};
template <class V>
struct SumsOf<V, true> {
  using type = typename V::Shorts;
};

// Tiles: (n_runs, n_bytes * V::kPlanes, kRun). kWide: distances of up to 16 bits.
template <class V, bool kWide>
class PlaneLanes {
 public:
  static constexpr int kGroup = V::kLanes;
  static constexpr int kRun = 128;
  static constexpr int kQueries = 1;
  using Group = typename SumsOf<V, kWide>::type;

  PlaneLanes(const Shard& shard, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint8_t*>(codes)),
        query_(reinterpret_cast<const std::uint8_t*>(query)),
        n_bytes_(shard.db.n_bytes) {}

  static void fill(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
    auto* out = reinterpret_cast<std::uint8_t*>(shard.tile);
    for (std::int64_t begin = 0; begin < n_codes; begin += kRun) {
      const std::int64_t run = n_codes - begin < kRun ? n_codes - begin : kRun;
      for (std::int64_t at = 0; at < run; at += 16) {
        const std::int64_t count = run - at < 16 ? run - at : 16;
        fill_half(shard.db, first + begin + at, count, out + at);
      }
      out += shard.db.n_bytes * V::kPlanes * kRun;
    }
  }

  inline Group distances(std::int64_t group) const {
    constexpr std::int64_t kGroups = kRun / kGroup;
    Group sums[1];
    sum<1>(group / kGroups, group % kGroups, sums);
    return sums[0];
  }

  inline Group least(std::int64_t run) const {
    constexpr int kGroups = kRun / kGroup;
    Group sums[kGroups];
    sum<kGroups>(run, 0, sums);
#pragma GCC unroll 8
    for (int g = 1; g < kGroups; ++g) sums[0] = V::min(sums[0], sums[g]);
    return sums[0];
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    return V::below(group, limit);
  }

  static inline std::int64_t append(const Group& group, std::uint64_t limit, unsigned candidates,
                                    std::int64_t first, Hit* out) {
    return append_each<PlaneLanes>(group, limit, candidates, first, out);
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    alignas(32) std::uint16_t lanes[kGroup];
    V::store(group, lanes);
    for (int i = 0; i < kGroup; ++i) out[i] = lanes[i];
  }

 private:
  // The distances of kCount groups of a run, from its group `first`.
  template <int kCount>
  inline void sum(std::int64_t run, std::int64_t first, Group* sums) const {
    const std::uint8_t* planes = codes_ + run * n_bytes_ * V::kPlanes * kRun + first * kGroup;
    if constexpr (kWide) {
#pragma GCC unroll 8
      for (int g = 0; g < kCount; ++g) sums[g] = V::zero_shorts();
      for (std::int64_t begin = 0; begin < n_bytes_; begin += kByteSum) {
        const std::int64_t end = n_bytes_ - begin < kByteSum ? n_bytes_ : begin + kByteSum;
        typename V::Bytes bytes[kCount];
        planes = sum_bytes<kCount>(planes, begin, end, bytes);
#pragma GCC unroll 8
        for (int g = 0; g < kCount; ++g) sums[g] = V::widen_add(sums[g], bytes[g]);
      }
    } else {
      sum_bytes<kCount>(planes, 0, n_bytes_, sums);
    }
  }

  template <int kCount>
  inline const std::uint8_t* sum_bytes(const std::uint8_t* planes, std::int64_t begin,
                                       std::int64_t end, typename V::Bytes* sums) const {
#pragma GCC unroll 8
    for (int g = 0; g < kCount; ++g) sums[g] = V::zero();
    for (std::int64_t b = begin; b < end; ++b, planes += V::kPlanes * kRun) {
      const typename V::ByteQuery query(query_[b]);
#pragma GCC unroll 8
      for (int g = 0; g < kCount; ++g) {
        sums[g] = V::add(sums[g], query.count(planes + g * kGroup, kRun));
      }
    }
    return planes;
  }

  // Up to 16 rows, eight of their bytes at a time: 8 vectors of 16 bytes, transposed in four
  // rounds. Interleaving the first half of 128 bytes with the second moves the highest bit of each
  // byte's place to the lowest; doing so four times turns (code, byte) into (byte, code).
  static inline void fill_half(const CodesView& db, std::int64_t first, std::int64_t count,
                               std::uint8_t* out) {
    for (std::int64_t begin = 0; begin < db.n_bytes; begin += 8) {
      const std::int64_t width = db.n_bytes - begin < 8 ? db.n_bytes - begin : 8;
      const std::uint8_t* row = db.data + first * db.n_bytes + begin;
      std::int64_t stride = db.n_bytes;
      std::uint64_t words[16] = {};
      // Eight bytes of each row, whatever its width, where the database goes on: what follows the
      // row fills no plane.
      if (count < 16 || begin + 8 > (db.n_codes - first - 15) * db.n_bytes) {
        for (std::int64_t i = 0; i < count; ++i) {
          words[i] = load_word<std::uint64_t>(row + i * stride, width);
        }
        row = reinterpret_cast<const std::uint8_t*>(words);
        stride = 8;
      }
      typename V::Half halves[8];
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        halves[i] = V::load_pair(row + 2 * i * stride, row + (2 * i + 1) * stride);
      }
#pragma GCC unroll 4
      for (int round = 0; round < 4; ++round) {
        typename V::Half next[8];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
          next[2 * i] = V::zip_low(halves[i], halves[i + 4]);
          next[2 * i + 1] = V::zip_high(halves[i], halves[i + 4]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) halves[i] = next[i];
      }
#pragma GCC unroll 8
      for (int b = 0; b < 8; ++b) {
        if (b < width) V::store_planes(halves[b], out + b * V::kPlanes * kRun, kRun);
      }
      out += width * V::kPlanes * kRun;
    }
  }

  const std::uint8_t* codes_;
  const std::uint8_t* query_;
  std::int64_t n_bytes_;
};

}  // namespace
}  // namespace hamming
