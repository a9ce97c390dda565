// Any 64-bit CPU with a popcount instruction (x86-64-v2, every AArch64).
#include "backend_impl.hpp"

namespace hamming {
namespace {

struct ScalarLanes {
  using Word = std::uint64_t;
  static constexpr int kGroup = 8;
  struct Group {
    std::uint32_t lanes[kGroup];
  };

  template <int kWords>
  static inline Group sliced(const Word* words, const Word* query, std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    Group group{};
    for (std::int64_t w = 0; w < count; ++w) {
      for (int i = 0; i < kGroup; ++i) {
        group.lanes[i] += popcount(words[w * kGroup + i] ^ query[w]);
      }
    }
    return group;
  }

  static bool has_rows(std::int64_t n_bytes) { return n_bytes % 8 == 0; }

  template <int kWords>
  static inline Group rows(const std::uint8_t* bytes, std::int64_t n_bytes, const Word* query,
                           std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    Group group{};
    for (int i = 0; i < kGroup; ++i) {
      for (std::int64_t w = 0; w < count; ++w) {
        group.lanes[i] += popcount(load_word<Word>(bytes + i * n_bytes + 8 * w) ^ query[w]);
      }
    }
    return group;
  }

  static inline Group min(Group a, const Group& b) {
    for (int i = 0; i < kGroup; ++i) a.lanes[i] = b.lanes[i] < a.lanes[i] ? b.lanes[i] : a.lanes[i];
    return a;
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    unsigned bits = 0;
    for (int i = 0; i < kGroup; ++i) bits |= static_cast<unsigned>(group.lanes[i] < limit) << i;
    return bits;
  }

  static inline void append(const Group& group, unsigned bits, std::int64_t first, Hit* out) {
    for (; bits != 0; bits &= bits - 1) {
      const int i = __builtin_ctz(bits);
      *out++ = Hit{group.lanes[i]} << kIndexBits | static_cast<Hit>(first + i);
    }
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    for (int i = 0; i < kGroup; ++i) out[i] = group.lanes[i];
  }

 private:
  static inline std::uint32_t popcount(Word word) {
    return static_cast<std::uint32_t>(__builtin_popcountll(word));
  }
};

struct Scalar {
  using Wide = ScalarLanes;
  using Narrow = ScalarLanes;  // a 64-bit popcount costs no more than a 32-bit one
};

}  // namespace

extern const Backend kScalarBackend;
const Backend kScalarBackend = make_backend<Scalar>("scalar");

}  // namespace hamming
