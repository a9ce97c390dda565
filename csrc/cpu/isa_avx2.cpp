// AVX2: the byte counts of both nibbles come from one 16-entry table (Mula's method); bytes add up
// over the words of a code and are summed once at the end.
#include <immintrin.h>

#include "backend_impl.hpp"

namespace hamming {
namespace {

struct Avx2 {
  struct Group {
    __m256i low;   // distances of codes 0..3, 64 bits each
    __m256i high;  // of codes 4..7
  };

  static inline __m256i byte_counts(__m256i bits_u8x32) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(bits_u8x32, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bits_u8x32, 4), nibble);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
  }

  template <int kWords>
  static inline Group distances(const std::uint64_t* words, const std::uint64_t* query,
                                std::int64_t n_words) {
    constexpr std::int64_t kRun = 31;  // 31 words of at most 8 bits a byte fit in a byte
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    const __m256i zero = _mm256_setzero_si256();
    Group group{zero, zero};
    for (std::int64_t begin = 0; begin < count; begin += kRun) {
      const std::int64_t end = count - begin < kRun ? count : begin + kRun;
      __m256i low_u8x32 = zero, high_u8x32 = zero;
      for (std::int64_t w = begin; w < end; ++w) {
        const __m256i word = _mm256_set1_epi64x(static_cast<long long>(query[w]));
        const __m256i* codes = reinterpret_cast<const __m256i*>(words + w * kGroup);
        low_u8x32 = _mm256_add_epi8(low_u8x32,
                                    byte_counts(_mm256_xor_si256(_mm256_loadu_si256(codes), word)));
        high_u8x32 = _mm256_add_epi8(
            high_u8x32, byte_counts(_mm256_xor_si256(_mm256_loadu_si256(codes + 1), word)));
      }
      group.low = _mm256_add_epi64(group.low, _mm256_sad_epu8(low_u8x32, zero));
      group.high = _mm256_add_epi64(group.high, _mm256_sad_epu8(high_u8x32, zero));
    }
    return group;
  }

  // Distances fit in 32 bits, so the 32-bit minimum is the 64-bit one, which AVX2 lacks.
  static inline Group min(const Group& a, const Group& b) {
    return {_mm256_min_epu32(a.low, b.low), _mm256_min_epu32(a.high, b.high)};
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    const __m256i limit_u64x4 = _mm256_set1_epi64x(static_cast<long long>(limit));
    const int low =
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limit_u64x4, group.low)));
    const int high =
        _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpgt_epi64(limit_u64x4, group.high)));
    return static_cast<unsigned>(low | high << 4);
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    alignas(32) std::uint64_t lanes[kGroup];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), group.low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes + 4), group.high);
    for (int i = 0; i < kGroup; ++i) out[i] = static_cast<std::uint32_t>(lanes[i]);
  }
};

}  // namespace

extern const Backend kAvx2Backend;
const Backend kAvx2Backend = make_backend<Avx2>("avx2");

}  // namespace hamming
