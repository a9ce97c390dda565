// AVX2: the byte counts of both nibbles come from one 16-entry table (Mula's method); bytes add up
// over the words of a code and are summed once at the end.
#include <immintrin.h>

#include "backend_impl.hpp"

namespace hamming {
namespace {

struct Avx2Lanes {
  using Word = std::uint64_t;
  static constexpr int kGroup = 8;
  struct Group {
    __m256i low;   // distances of codes 0..3, 64 bits each
    __m256i high;  // of codes 4..7
  };

  template <int kWords>
  static inline Group sliced(const Word* words, const Word* query, std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    const __m256i zero = _mm256_setzero_si256();
    Group group{zero, zero};
    for (std::int64_t begin = 0; begin < count; begin += kRun) {
      const std::int64_t end = count - begin < kRun ? count : begin + kRun;
      __m256i low_u8x32 = zero, high_u8x32 = zero;
      for (std::int64_t w = begin; w < end; ++w) {
        const __m256i word = _mm256_set1_epi64x(static_cast<long long>(query[w]));
        const Word* codes = words + w * kGroup;
        low_u8x32 = _mm256_add_epi8(low_u8x32, byte_counts(_mm256_xor_si256(load(codes), word)));
        high_u8x32 =
            _mm256_add_epi8(high_u8x32, byte_counts(_mm256_xor_si256(load(codes + 4), word)));
      }
      group.low = _mm256_add_epi64(group.low, _mm256_sad_epu8(low_u8x32, zero));
      group.high = _mm256_add_epi64(group.high, _mm256_sad_epu8(high_u8x32, zero));
    }
    return group;
  }

  static bool has_rows(std::int64_t n_bytes) {
    return n_bytes == 8 || n_bytes == 16 || n_bytes % 32 == 0;
  }

  template <int kWords>
  static inline Group rows(const std::uint8_t* bytes, std::int64_t n_bytes, const Word* query,
                           std::int64_t n_words) {
    if constexpr (kWords == 1) {
      const __m256i word = _mm256_set1_epi64x(static_cast<long long>(query[0]));
      return {counts(_mm256_xor_si256(load(bytes), word)),
              counts(_mm256_xor_si256(load(bytes + 32), word))};
    } else if constexpr (kWords == 2) {
      const __m256i words =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query)));
      return {two_words(bytes, words), two_words(bytes + 64, words)};
    } else {
      const std::int64_t chunks = kWords != 0 ? kWords / 4 : n_words / 4;
      return {four_rows(bytes, n_bytes, query, chunks),
              four_rows(bytes + 4 * n_bytes, n_bytes, query, chunks)};
    }
  }

  // Distances fit in 32 bits, so the 32-bit minimum is the 64-bit one, which AVX2 lacks.
  static inline Group min(const Group& a, const Group& b) {
    return {_mm256_min_epu32(a.low, b.low), _mm256_min_epu32(a.high, b.high)};
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    const __m256i limit_u64x4 = _mm256_set1_epi64x(static_cast<long long>(limit));
    const int low = sign_bits(_mm256_cmpgt_epi64(limit_u64x4, group.low));
    const int high = sign_bits(_mm256_cmpgt_epi64(limit_u64x4, group.high));
    return static_cast<unsigned>(low | high << 4);
  }

  static inline void append(const Group& group, unsigned bits, std::int64_t first, Hit* out) {
    if (bits == 0) return;
    alignas(32) std::uint32_t lanes[kGroup];
    store(group, lanes);
    for (; bits != 0; bits &= bits - 1) {
      const int i = __builtin_ctz(bits);
      *out++ = Hit{lanes[i]} << kIndexBits | static_cast<Hit>(first + i);
    }
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    alignas(32) std::uint64_t lanes[kGroup];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), group.low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes + 4), group.high);
    for (int i = 0; i < kGroup; ++i) out[i] = static_cast<std::uint32_t>(lanes[i]);
  }

 private:
  static constexpr std::int64_t kRun = 31;  // 31 counts of at most 8 fit in a byte

  static inline __m256i load(const void* address) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(address));
  }

  static inline int sign_bits(__m256i lanes_i64x4) {
    return _mm256_movemask_pd(_mm256_castsi256_pd(lanes_i64x4));
  }

  static inline __m256i byte_counts(__m256i bits_u8x32) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(bits_u8x32, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bits_u8x32, 4), nibble);
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
  }

  static inline __m256i counts(__m256i bits_u8x32) {
    return _mm256_sad_epu8(byte_counts(bits_u8x32), _mm256_setzero_si256());
  }

  // Adjacent lanes summed: [a0+a1, b0+b1, a2+a3, b2+b3].
  static inline __m256i pair_sums(__m256i a, __m256i b) {
    return _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
  }

  // Four codes of 16 bytes, two to a vector.
  static inline __m256i two_words(const std::uint8_t* bytes, __m256i words) {
    const __m256i ab = counts(_mm256_xor_si256(load(bytes), words));
    const __m256i cd = counts(_mm256_xor_si256(load(bytes + 32), words));
    return _mm256_permute4x64_epi64(pair_sums(ab, cd), 0xd8);  // [a, c, b, d] in order
  }

  static inline __m256i one_row(const std::uint8_t* row, const Word* query, std::int64_t chunks) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i sum = zero;
    for (std::int64_t begin = 0; begin < chunks; begin += kRun) {
      const std::int64_t end = chunks - begin < kRun ? chunks : begin + kRun;
      __m256i sum_u8x32 = zero;
      for (std::int64_t c = begin; c < end; ++c) {
        sum_u8x32 = _mm256_add_epi8(
            sum_u8x32, byte_counts(_mm256_xor_si256(load(row + 32 * c), load(query + 4 * c))));
      }
      sum = _mm256_add_epi64(sum, _mm256_sad_epu8(sum_u8x32, zero));
    }
    return sum;
  }

  static inline __m256i four_rows(const std::uint8_t* bytes, std::int64_t n_bytes,
                                  const Word* query, std::int64_t chunks) {
    const __m256i ab =
        pair_sums(one_row(bytes, query, chunks), one_row(bytes + n_bytes, query, chunks));
    const __m256i cd = pair_sums(one_row(bytes + 2 * n_bytes, query, chunks),
                                 one_row(bytes + 3 * n_bytes, query, chunks));
    return _mm256_add_epi64(_mm256_permute2x128_si256(ab, cd, 0x20),
                            _mm256_permute2x128_si256(ab, cd, 0x31));
  }
};

struct Avx2 {
  using Wide = Avx2Lanes;
  using Narrow = Avx2Lanes;  // the byte sums come 64 bits wide in any case
};

}  // namespace

extern const Backend kAvx2Backend;
const Backend kAvx2Backend = make_backend<Avx2>("avx2");

}  // namespace hamming
