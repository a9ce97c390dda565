// AVX-512 with VPOPCNTDQ (Ice Lake, Zen 4 and later): one vector popcount per word of eight codes.
#include <immintrin.h>

#include "backend_impl.hpp"

namespace hamming {
namespace {

struct Avx512 {
  using Group = __m512i;  // eight distances, 64 bits each

  template <int kWords>
  static inline Group distances(const std::uint64_t* words, const std::uint64_t* query,
                                std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    Group sum = _mm512_setzero_si512();
    for (std::int64_t w = 0; w < count; ++w) {
      const __m512i word = _mm512_set1_epi64(static_cast<long long>(query[w]));
      const __m512i codes = _mm512_loadu_si512(words + w * kGroup);
      sum = _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(codes, word)));
    }
    return sum;
  }

  // Distances fit in 32 bits, and the 32-bit minimum is the cheaper instruction.
  static inline Group min(Group a, Group b) { return _mm512_min_epu32(a, b); }

  static inline unsigned below(Group group, std::uint64_t limit) {
    return _mm512_cmplt_epu64_mask(group, _mm512_set1_epi64(static_cast<long long>(limit)));
  }

  static inline void store(Group group, std::uint32_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(group));
  }
};

}  // namespace

extern const Backend kAvx512Backend;
const Backend kAvx512Backend = make_backend<Avx512>("avx512");

}  // namespace hamming
