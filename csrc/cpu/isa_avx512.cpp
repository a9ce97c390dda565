// AVX-512 with VPOPCNTDQ (Ice Lake, Zen 4 and later): one vector popcount per word of eight codes,
// or of sixteen codes of 32 bits.
#include <immintrin.h>

#include "backend_impl.hpp"

namespace hamming {
namespace {

// Hits of the set bits of eight distances, packed together. A register compress and a whole store:
// the compressing store is microcode on Zen 4.
inline void append_u64x8(__m512i distances_u64x8, unsigned bits, std::int64_t first, Hit* out) {
  const __m512i indices =
      _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  const __m512i hits = _mm512_or_si512(_mm512_slli_epi64(distances_u64x8, kIndexBits), indices);
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi64(static_cast<__mmask8>(bits), hits));
}

struct Avx512Wide {
  using Word = std::uint64_t;
  static constexpr int kGroup = 8;
  using Group = __m512i;  // eight distances, 64 bits each

  template <int kWords>
  static inline Group sliced(const Word* words, const Word* query, std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    Group sum = counts(words, _mm512_set1_epi64(static_cast<long long>(query[0])));
    for (std::int64_t w = 1; w < count; ++w) {
      const __m512i word = _mm512_set1_epi64(static_cast<long long>(query[w]));
      sum = _mm512_add_epi64(sum, counts(words + w * kGroup, word));
    }
    return sum;
  }

  static bool has_rows(std::int64_t n_bytes) { return n_bytes >= 8; }

  template <int kWords>
  static inline Group rows(const std::uint8_t* bytes, std::int64_t n_bytes, const Word* query,
                           std::int64_t n_words) {
    if constexpr (kWords == 1) {
      return counts(bytes, _mm512_set1_epi64(static_cast<long long>(query[0])));
    } else if (kWords == 2 && n_bytes == 16) {
      const __m512i words =
          _mm512_broadcast_i64x2(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query)));
      const __m512i sums = pair_sums(counts(bytes, words), counts(bytes + 64, words));
      return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), sums);
    } else if (kWords == 4 && n_bytes == 32) {
      const __m512i words =
          _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(query)));
      const __m512i abcd = pair_sums(counts(bytes, words), counts(bytes + 64, words));
      const __m512i efgh = pair_sums(counts(bytes + 128, words), counts(bytes + 192, words));
      const __m512i first = _mm512_setr_epi64(0, 4, 1, 5, 8, 12, 9, 13);
      const __m512i second = _mm512_setr_epi64(2, 6, 3, 7, 10, 14, 11, 15);
      return _mm512_add_epi64(_mm512_permutex2var_epi64(abcd, first, efgh),
                              _mm512_permutex2var_epi64(abcd, second, efgh));
    } else {
      (void)n_words;
      // A width known here unrolls the loop over its chunks and makes its mask a constant.
      if (kWords != 0 && n_bytes == 8 * kWords) {
        return eight_rows(bytes, 8 * kWords, query);
      }
      return eight_rows(bytes, n_bytes, query);
    }
  }

  // Distances fit in 32 bits, and the 32-bit minimum is the cheaper instruction.
  static inline Group min(Group a, Group b) { return _mm512_min_epu32(a, b); }

  static inline unsigned below(Group group, std::uint64_t limit) {
    return _mm512_cmplt_epu64_mask(group, _mm512_set1_epi64(static_cast<long long>(limit)));
  }

  static inline void append(Group group, unsigned bits, std::int64_t first, Hit* out) {
    append_u64x8(group, bits, first, out);
  }

  static inline void store(Group group, std::uint32_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(group));
  }

 private:
  static inline __m512i counts(const void* codes, __m512i words) {
    return _mm512_popcnt_epi64(_mm512_xor_si512(_mm512_loadu_si512(codes), words));
  }

  // Adjacent lanes summed: [a0+a1, b0+b1, a2+a3, b2+b3, ...].
  static inline __m512i pair_sums(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }

  // Partial counts of one row. The last bytes of a row that is no multiple of 64 are loaded under a
  // mask, so any width will do.
  [[gnu::always_inline]] static inline __m512i one_row(const std::uint8_t* row,
                                                       std::int64_t n_bytes, const Word* query) {
    const auto* query_bytes = reinterpret_cast<const std::uint8_t*>(query);
    const std::int64_t whole = n_bytes / 64;
    __m512i sum = _mm512_setzero_si512();
    for (std::int64_t c = 0; c < whole; ++c) {
      sum = _mm512_add_epi64(sum, counts(row + 64 * c, _mm512_loadu_si512(query_bytes + 64 * c)));
    }
    if (n_bytes % 64 == 0) return sum;
    const __mmask64 rest = ~__mmask64{0} >> (64 - n_bytes % 64);
    const __m512i codes = _mm512_maskz_loadu_epi8(rest, row + 64 * whole);
    const __m512i words = _mm512_maskz_loadu_epi8(rest, query_bytes + 64 * whole);
    return _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(codes, words)));
  }

  // [a0..3, b0..3, c0..3, d0..3 summed, then a4..7, ...] of four rows.
  [[gnu::always_inline]] static inline __m512i four_rows(const std::uint8_t* bytes,
                                                         std::int64_t n_bytes, const Word* query) {
    const __m512i ab =
        pair_sums(one_row(bytes, n_bytes, query), one_row(bytes + n_bytes, n_bytes, query));
    const __m512i cd = pair_sums(one_row(bytes + 2 * n_bytes, n_bytes, query),
                                 one_row(bytes + 3 * n_bytes, n_bytes, query));
    const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    return _mm512_add_epi64(_mm512_permutex2var_epi64(ab, even, cd),
                            _mm512_permutex2var_epi64(ab, odd, cd));
  }

  [[gnu::always_inline]] static inline __m512i eight_rows(const std::uint8_t* bytes,
                                                          std::int64_t n_bytes, const Word* query) {
    const __m512i low = four_rows(bytes, n_bytes, query);
    const __m512i high = four_rows(bytes + 4 * n_bytes, n_bytes, query);
    return _mm512_add_epi64(_mm512_shuffle_i64x2(low, high, 0x44),
                            _mm512_shuffle_i64x2(low, high, 0xee));
  }
};

struct Avx512Narrow {
  using Word = std::uint32_t;
  static constexpr int kGroup = 16;
  using Group = __m512i;  // sixteen distances, 32 bits each

  template <int kWords>
  static inline Group sliced(const Word* words, const Word* query, std::int64_t) {
    static_assert(kWords == 1, "one 32-bit word");
    const __m512i word = _mm512_set1_epi32(static_cast<int>(query[0]));
    return _mm512_popcnt_epi32(_mm512_xor_si512(_mm512_loadu_si512(words), word));
  }

  static bool has_rows(std::int64_t n_bytes) { return n_bytes == 4; }

  template <int kWords>
  static inline Group rows(const std::uint8_t* bytes, std::int64_t, const Word* query,
                           std::int64_t n_words) {
    return sliced<kWords>(reinterpret_cast<const Word*>(bytes), query, n_words);
  }

  static inline Group min(Group a, Group b) { return _mm512_min_epu32(a, b); }

  static inline unsigned below(Group group, std::uint64_t limit) {
    return _mm512_cmplt_epu32_mask(group, _mm512_set1_epi32(static_cast<int>(limit)));
  }

  static inline void append(Group group, unsigned bits, std::int64_t first, Hit* out) {
    const unsigned low_bits = bits & 0xff;
    const __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(group));
    const __m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(group, 1));
    append_u64x8(low, low_bits, first, out);
    append_u64x8(high, bits >> 8, first + 8, out + __builtin_popcount(low_bits));
  }

  static inline void store(Group group, std::uint32_t* out) { _mm512_storeu_si512(out, group); }
};

struct Avx512 {
  using Wide = Avx512Wide;
  using Narrow = Avx512Narrow;
};

}  // namespace

extern const Backend kAvx512Backend;
const Backend kAvx512Backend = make_backend<Avx512>("avx512");

}  // namespace hamming
