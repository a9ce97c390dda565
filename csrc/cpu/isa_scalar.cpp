// Any 64-bit CPU with a popcount instruction (x86-64-v2, every AArch64).
#include "backend_impl.hpp"

namespace hamming {
namespace {

struct Scalar {
  struct Group {
    std::uint32_t lanes[kGroup];
  };

  template <int kWords>
  static inline Group distances(const std::uint64_t* words, const std::uint64_t* query,
                                std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    Group group{};
    for (std::int64_t w = 0; w < count; ++w) {
      for (int i = 0; i < kGroup; ++i) {
        group.lanes[i] +=
            static_cast<std::uint32_t>(__builtin_popcountll(words[w * kGroup + i] ^ query[w]));
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

  static inline void store(const Group& group, std::uint32_t* out) {
    for (int i = 0; i < kGroup; ++i) out[i] = group.lanes[i];
  }
};

}  // namespace

extern const Backend kScalarBackend;
const Backend kScalarBackend = make_backend<Scalar>("scalar");

}  // namespace hamming
