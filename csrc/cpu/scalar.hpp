// Lanes of plain 64-bit popcounts, for codes of any width: rows in place where they are whole
// words, else in tiles that pad them.
#pragma once

#include "../hamming.hpp"
#include "scan.hpp"

namespace hamming {
namespace {

template <int kWords>
class ScalarLanes {
 public:
  static constexpr int kGroup = 8;
  static constexpr int kRun = 64;
  static constexpr int kQueries = 1;
  struct Group {
    std::uint32_t lanes[kGroup];
  };

  ScalarLanes(const Shard& shard, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint8_t*>(codes)), query_(query), n_words_(shard.n_words) {}

  static void fill(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
    pad_rows<std::uint64_t>(shard, first, n_codes);
  }

  [[gnu::always_inline]] inline Group distances(std::int64_t group) const {
    const std::int64_t count = kWords != 0 ? kWords : n_words_;
    const std::uint8_t* bytes = codes_ + group * kGroup * 8 * count;
    Group found{};
    for (int i = 0; i < kGroup; ++i) {
      for (std::int64_t w = 0; w < count; ++w) {
        const std::uint64_t word = load_word<std::uint64_t>(bytes + 8 * (i * count + w));
        found.lanes[i] += static_cast<std::uint32_t>(__builtin_popcountll(word ^ query_[w]));
      }
    }
    return found;
  }

  inline Group least(std::int64_t run) const { return least_of_groups(*this, run); }

  static inline Group min(Group a, const Group& b) {
    for (int i = 0; i < kGroup; ++i) a.lanes[i] = b.lanes[i] < a.lanes[i] ? b.lanes[i] : a.lanes[i];
    return a;
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    unsigned bits = 0;
    for (int i = 0; i < kGroup; ++i) bits |= static_cast<unsigned>(group.lanes[i] < limit) << i;
    return bits;
  }

  static inline std::int64_t append(const Group& group, std::uint64_t limit, unsigned candidates,
                                    std::int64_t first, Hit* out) {
    return append_each<ScalarLanes>(group, limit, candidates, first, out);
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    for (int i = 0; i < kGroup; ++i) out[i] = group.lanes[i];
  }

 private:
  const std::uint8_t* codes_;
  const std::uint64_t* query_;
  std::int64_t n_words_;
};

}  // namespace
}  // namespace hamming
