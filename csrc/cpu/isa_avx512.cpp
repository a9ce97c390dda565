// AVX-512 with VPOPCNTDQ (Ice Lake, Zen 4 and later): one vector popcount per word of eight codes,
// or of sixteen codes of 32 bits.
#include <immintrin.h>

#include "backend_impl.hpp"

namespace hamming {
namespace {

// Hits of eight distances, packed together. A register compress and a whole store: the compressing
// store is microcode on Zen 4.
inline void append_u64x8(__m512i distances_u64x8, __mmask8 bits, std::int64_t first, Hit* out) {
  const __m512i indices =
      _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
  const __m512i hits = _mm512_or_si512(_mm512_slli_epi64(distances_u64x8, kIndexBits), indices);
  _mm512_storeu_si512(out, _mm512_maskz_compress_epi64(bits, hits));
}

// Eight codes to a group, a 64-bit distance each.
struct Avx512Wide {
  static constexpr int kGroup = 8;
  static constexpr int kRun = 64;
  using Group = __m512i;

  // Distances fit in 32 bits, and the 32-bit minimum is the cheaper instruction.
  static inline Group min(Group a, Group b) { return _mm512_min_epu32(a, b); }

  static inline unsigned below(Group group, std::uint64_t limit) {
    return _mm512_cmplt_epu64_mask(group, _mm512_set1_epi64(static_cast<long long>(limit)));
  }

  static inline std::int64_t append(Group group, std::uint64_t limit, unsigned candidates,
                                    std::int64_t first, Hit* out) {
    const __m512i limits = _mm512_set1_epi64(static_cast<long long>(limit));
    const auto offered = static_cast<__mmask8>(candidates);
    const __mmask8 near = _mm512_mask_cmplt_epu64_mask(offered, group, limits);
    append_u64x8(group, near, first, out);
    return __builtin_popcount(near);
  }

  static inline void store(Group group, std::uint32_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(group));
  }

  static inline __m512i counts(const void* codes, __m512i words) {
    return counts(_mm512_loadu_si512(codes), words);
  }
  static inline __m512i counts(__m512i codes, __m512i words) {
    return _mm512_popcnt_epi64(_mm512_xor_si512(codes, words));
  }
};

// Transposes 8 x 8 words: lane i of row j becomes lane j of row i.
inline void transpose_u64(__m512i (&rows)[8]) {
  __m512i pairs[8], fours[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm512_unpacklo_epi64(rows[i], rows[i + 1]);      // words 0, 2, 4, 6 of two rows
    pairs[i + 1] = _mm512_unpackhi_epi64(rows[i], rows[i + 1]);  // words 1, 3, 5, 7
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; ++odd) {  // words 0 and 4 (1 and 5), then 2 and 6 (3 and 7) of four
      fours[i + odd] = _mm512_shuffle_i64x2(pairs[i + odd], pairs[i + 2 + odd], 0x88);
      fours[i + 2 + odd] = _mm512_shuffle_i64x2(pairs[i + odd], pairs[i + 2 + odd], 0xdd);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i64x2(fours[i], fours[i + 4], 0x88);
    rows[i + 4] = _mm512_shuffle_i64x2(fours[i], fours[i + 4], 0xdd);
  }
}

// The mask of a load of `n_bytes` bytes, 0..64.
inline __mmask64 first_bytes(std::int64_t n_bytes) {
  return n_bytes <= 0 ? 0 : ~__mmask64{0} >> (64 - (n_bytes < 64 ? n_bytes : 64));
}

// Codes of any width, 64 to a run: word w of a run is 64 adjacent words. Loads under a mask neither
// touch what follows a row nor need a copy of its ragged end.
inline void slice_u64x8(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  const std::int64_t n_bytes = shard.db.n_bytes;
  std::uint64_t* out = shard.tile;
  for (std::int64_t begin = 0; begin < n_codes; begin += kBlock, out += kBlock * shard.n_words) {
    for (std::int64_t word = 0; word < shard.n_words; word += 8) {
      const __mmask64 bytes = first_bytes(n_bytes - 8 * word);
      for (std::int64_t at = 0; at < kBlock; at += 8) {
        const std::int64_t row = first + begin + at;
        __m512i rows[8];
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
          const __mmask64 mask = begin + at + i < n_codes ? bytes : 0;
          rows[i] = _mm512_maskz_loadu_epi8(mask, shard.db.data + (row + i) * n_bytes + 8 * word);
        }
        transpose_u64(rows);
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
          if (word + i < shard.n_words) {
            _mm512_store_si512(out + (word + i) * kBlock + at, rows[i]);
          }
        }
      }
    }
  }
}

// The same for rows of two words: two permutations for eight rows.
inline void slice_two_words(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
  const __m512i low = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
  const __m512i high = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
  const std::uint8_t* bytes = shard.db.data + first * 16;
  std::int64_t left = n_codes * 16;
  for (std::uint64_t* out = shard.tile; left > 0; out += 2 * kBlock) {
    for (std::int64_t at = 0; at < kBlock; at += 8, bytes += 128, left -= 128) {
      const __m512i four = _mm512_maskz_loadu_epi8(first_bytes(left), bytes);
      const __m512i more = _mm512_maskz_loadu_epi8(first_bytes(left - 64), bytes + 64);
      _mm512_store_si512(out + at, _mm512_permutex2var_epi64(four, low, more));
      _mm512_store_si512(out + kBlock + at, _mm512_permutex2var_epi64(four, high, more));
    }
  }
}

// Words outside, groups inside: a word of the query is loaded once for a run, and the sums of the
// run's groups stay in registers, for one query or for two that share the loads of the codes.
template <int kWords>
class Avx512Sliced : public Avx512Wide {
 public:
  static constexpr int kQueries = 2;

  Avx512Sliced(const Shard& shard, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint64_t*>(codes)), query_(query), n_words_(shard.n_words) {}

  static void fill(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
    if (kWords == 1) {
      pad_rows<std::uint64_t>(shard, first, n_codes);
    } else if (shard.db.n_bytes == 16) {
      slice_two_words(shard, first, n_codes);
    } else {
      slice_u64x8(shard, first, n_codes);
    }
  }

  inline Group distances(std::int64_t group) const {
    const std::uint64_t* words = run(group / kGroups) + group % kGroups * kGroup;
    Group sum = _mm512_setzero_si512();
    for (std::int64_t w = 0; w < n_words(); ++w) {
      sum = _mm512_add_epi64(sum, counts(words + w * kRun, word(w)));
    }
    return sum;
  }

  inline Group least(std::int64_t run_number) const {
    Sums sums;
    const std::uint64_t* words = run(run_number);
    sums.start(words, word(0));
    for (std::int64_t w = 1; w < n_words(); ++w) sums.add(words + w * kRun, word(w));
    return sums.least();
  }

  static inline void least(const Avx512Sliced& one, const Avx512Sliced& two,
                           std::int64_t run_number, Group& least_one, Group& least_two) {
    Sums sums_one, sums_two;
    const std::uint64_t* words = one.run(run_number);
    Sums::start(words, sums_one, one.word(0), sums_two, two.word(0));
    for (std::int64_t w = 1; w < one.n_words(); ++w) {
      Sums::add(words + w * kRun, sums_one, one.word(w), sums_two, two.word(w));
    }
    least_one = sums_one.least();
    least_two = sums_two.least();
  }

 private:
  static constexpr std::int64_t kGroups = kRun / kGroup;

  struct Sums {
    Group of[kGroups];
    inline void start(const std::uint64_t* words, __m512i word) {
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) of[g] = counts(words + g * kGroup, word);
    }
    inline void add(const std::uint64_t* words, __m512i word) {
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) {
        of[g] = _mm512_add_epi64(of[g], counts(words + g * kGroup, word));
      }
    }
    // In a register, which two queries share: the compiler would fold the load into both xors.
    static inline __m512i load_once(const std::uint64_t* words) {
      __m512i codes = _mm512_loadu_si512(words);
      asm("" : "+v"(codes));
      return codes;
    }
    static inline void start(const std::uint64_t* words, Sums& a, __m512i wa, Sums& b, __m512i wb) {
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) {
        const __m512i codes = load_once(words + g * kGroup);
        a.of[g] = counts(codes, wa);
        b.of[g] = counts(codes, wb);
      }
    }
    static inline void add(const std::uint64_t* words, Sums& a, __m512i wa, Sums& b, __m512i wb) {
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) {
        const __m512i codes = load_once(words + g * kGroup);
        a.of[g] = _mm512_add_epi64(a.of[g], counts(codes, wa));
        b.of[g] = _mm512_add_epi64(b.of[g], counts(codes, wb));
      }
    }
    inline Group least() const {
      return min(min(min(of[0], of[1]), min(of[2], of[3])),
                 min(min(of[4], of[5]), min(of[6], of[7])));
    }
  };

  inline std::int64_t n_words() const { return kWords != 0 ? kWords : n_words_; }
  inline const std::uint64_t* run(std::int64_t number) const {
    return codes_ + number * kRun * n_words();
  }
  inline __m512i word(std::int64_t w) const {
    return _mm512_set1_epi64(static_cast<long long>(query_[w]));
  }

  const std::uint64_t* codes_;
  const std::uint64_t* query_;
  std::int64_t n_words_;
};

// The database's own rows, of any width above eight bytes.
template <int kWords>
class Avx512Rows : public Avx512Wide {
 public:
  static constexpr int kQueries = 1;

  Avx512Rows(const Shard& shard, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint8_t*>(codes)),
        n_bytes_(shard.db.n_bytes),
        query_(query) {}

  inline Group distances(std::int64_t group) const {
    const std::uint8_t* bytes = codes_ + group * kGroup * n_bytes_;
    if constexpr (kWords == 2) {
      const __m512i words =
          _mm512_broadcast_i64x2(_mm_loadu_si128(reinterpret_cast<const __m128i*>(query_)));
      const __m512i sums = pair_sums(counts(rows_of_two_words(bytes), words),
                                     counts(rows_of_two_words(bytes + 4 * n_bytes_), words));
      return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), sums);
    } else if constexpr (kWords == 3 || kWords == 4) {
      const __m512i words =
          _mm512_broadcast_i64x4(_mm256_maskz_loadu_epi64((1 << kWords) - 1, query_));
      const auto pair = [&](std::int64_t i) {
        return counts(rows_of_four_words(bytes + 2 * i * n_bytes_), words);
      };
      const __m512i abcd = pair_sums(pair(0), pair(1)), efgh = pair_sums(pair(2), pair(3));
      const __m512i first = _mm512_setr_epi64(0, 4, 1, 5, 8, 12, 9, 13);
      const __m512i second = _mm512_setr_epi64(2, 6, 3, 7, 10, 14, 11, 15);
      return _mm512_add_epi64(_mm512_permutex2var_epi64(abcd, first, efgh),
                              _mm512_permutex2var_epi64(abcd, second, efgh));
    } else {
      // A width known here unrolls the loop over its chunks and makes its mask a constant.
      if (kWords != 0 && n_bytes_ == 8 * kWords) {
        return eight_rows(bytes, 8 * kWords, query_);
      }
      return eight_rows(bytes, n_bytes_, query_);
    }
  }

  inline Group least(std::int64_t run) const { return least_of_groups(*this, run); }

 private:
  // Adjacent lanes summed: [a0+a1, b0+b1, a2+a3, b2+b3, ...].
  static inline __m512i pair_sums(__m512i a, __m512i b) {
    return _mm512_add_epi64(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
  }

  // Four rows of at most 16 bytes.
  inline __m512i rows_of_two_words(const std::uint8_t* bytes) const {
    if (n_bytes_ == 16) return _mm512_loadu_si512(bytes);
    const auto two = [&](const std::uint8_t* rows) {
      const auto mask = static_cast<__mmask16>(first_bytes(n_bytes_));
      const __m128i low = _mm_maskz_loadu_epi8(mask, rows);
      return _mm256_set_m128i(_mm_maskz_loadu_epi8(mask, rows + n_bytes_), low);
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(two(bytes)), two(bytes + 2 * n_bytes_), 1);
  }

  // Two rows of at most 32 bytes.
  inline __m512i rows_of_four_words(const std::uint8_t* bytes) const {
    if (n_bytes_ == 32) return _mm512_loadu_si512(bytes);
    const auto mask = static_cast<__mmask32>(first_bytes(n_bytes_));
    const __m256i low = _mm256_maskz_loadu_epi8(mask, bytes);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low),
                              _mm256_maskz_loadu_epi8(mask, bytes + n_bytes_), 1);
  }

  // [a0..3, b0..3, c0..3, d0..3 summed, then a4..7, ...] of four rows. The last bytes of a row that
  // is no multiple of 64 are loaded under a mask, so any width will do.
  [[gnu::always_inline]] static inline __m512i four_rows(const std::uint8_t* bytes,
                                                         std::int64_t n_bytes,
                                                         const std::uint64_t* query) {
    const std::int64_t whole = n_bytes / 64;
    const __mmask64 rest = first_bytes(n_bytes % 64);
    const __m512i last_words = _mm512_maskz_loadu_epi8(rest, query + 8 * whole);
    __m512i sums[4];
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row) {
      sums[row] = _mm512_setzero_si512();
      if (n_bytes % 64 == 0) continue;
      const std::uint8_t* last = bytes + row * n_bytes + 64 * whole;
      sums[row] = counts(_mm512_maskz_loadu_epi8(rest, last), last_words);
    }
    for (std::int64_t c = 0; c < whole; ++c) {
      const __m512i words = _mm512_loadu_si512(query + 8 * c);
#pragma GCC unroll 4
      for (int row = 0; row < 4; ++row) {
        sums[row] = _mm512_add_epi64(sums[row], counts(bytes + row * n_bytes + 64 * c, words));
      }
    }
    const __m512i ab = pair_sums(sums[0], sums[1]), cd = pair_sums(sums[2], sums[3]);
    const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    const __m512i odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    return _mm512_add_epi64(_mm512_permutex2var_epi64(ab, even, cd),
                            _mm512_permutex2var_epi64(ab, odd, cd));
  }

  [[gnu::always_inline]] static inline __m512i eight_rows(const std::uint8_t* bytes,
                                                          std::int64_t n_bytes,
                                                          const std::uint64_t* query) {
    const __m512i low = four_rows(bytes, n_bytes, query);
    const __m512i high = four_rows(bytes + 4 * n_bytes, n_bytes, query);
    return _mm512_add_epi64(_mm512_shuffle_i64x2(low, high, 0x44),
                            _mm512_shuffle_i64x2(low, high, 0xee));
  }

  const std::uint8_t* codes_;
  std::int64_t n_bytes_;
  const std::uint64_t* query_;
};

// Codes of at most four bytes: sixteen to a group, a 32-bit distance each.
class Avx512Narrow {
 public:
  static constexpr int kGroup = 16;
  static constexpr int kRun = 64;
  static constexpr int kQueries = 2;
  using Group = __m512i;

  // The 32-bit word is the low part of the query's only 64-bit word: bytes are little-endian.
  Avx512Narrow(const Shard&, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint32_t*>(codes)),
        word_(_mm512_set1_epi32(static_cast<int>(*query))) {}

  static void fill(const Shard& shard, std::int64_t first, std::int64_t n_codes) {
    pad_rows<std::uint32_t>(shard, first, n_codes);
  }

  inline Group distances(std::int64_t group) const {
    const __m512i codes = _mm512_loadu_si512(codes_ + group * kGroup);
    return _mm512_popcnt_epi32(_mm512_xor_si512(codes, word_));
  }

  inline Group least(std::int64_t run) const { return least_of_groups(*this, run); }
  static inline void least(const Avx512Narrow& one, const Avx512Narrow& two, std::int64_t run,
                           Group& least_one, Group& least_two) {
    least_one = one.least(run);
    least_two = two.least(run);
  }

  static inline Group min(Group a, Group b) { return _mm512_min_epu32(a, b); }

  static inline unsigned below(Group group, std::uint64_t limit) {
    return _mm512_cmplt_epu32_mask(group, _mm512_set1_epi32(static_cast<int>(limit)));
  }

  static inline std::int64_t append(Group group, std::uint64_t limit, unsigned candidates,
                                    std::int64_t first, Hit* out) {
    const unsigned near = below(group, limit) & candidates;
    const auto low_bits = static_cast<__mmask8>(near), high_bits = static_cast<__mmask8>(near >> 8);
    const __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(group));
    const __m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(group, 1));
    append_u64x8(low, low_bits, first, out);
    append_u64x8(high, high_bits, first + 8, out + __builtin_popcount(low_bits));
    return __builtin_popcount(near);
  }

  static inline void store(Group group, std::uint32_t* out) { _mm512_storeu_si512(out, group); }

 private:
  const std::uint32_t* codes_;
  __m512i word_;
};

// Sixteen weights to a vector; their bits of the code are the mask of the addition.
struct Avx512Weights {
  static constexpr int kValues = 64;
  static constexpr bool kSigned = false;
  using Sum = __m512i;

  static inline Sum zero() { return _mm512_setzero_si512(); }

  static inline void prepare(const std::int32_t* weights, std::int32_t* values) {
    __builtin_memcpy(values, weights, 64 * sizeof *values);
  }

  static inline Sum add(Sum sum, const std::uint8_t* code, const std::int32_t* values) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __mmask16 bits = load_word<std::uint16_t>(code + 2 * i);
      sum = _mm512_mask_add_epi32(sum, bits, sum, _mm512_load_si512(values + 16 * i));
    }
    return sum;
  }

  static inline void totals(const Sum (&sums)[4], std::int32_t* out) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[0], sums[1]),
                                        _mm512_unpackhi_epi32(sums[0], sums[1]));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(sums[2], sums[3]),
                                        _mm512_unpackhi_epi32(sums[2], sums[3]));
    const __m512i abcd =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i halves =
        _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64(abcd, 1));
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(out),
        _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
  }
};

struct Avx512 {
  using Weights = Avx512Weights;

  static inline std::uint64_t nonzero_bits(const std::uint8_t* bytes) {
    const __m512i block = _mm512_loadu_si512(bytes);
    return _mm512_test_epi8_mask(block, block);
  }

  // Rows of one word lie as in a tile. Others need a horizontal sum each: measured at 72 to 1024
  // bits, a tile pays from the fifth query where rows fill their vectors, else from the third.
  static std::int64_t rows_queries(std::int64_t n_bytes) {
    if (n_bytes == 4 || n_bytes == 8) return kAnyQueries;
    if (n_bytes < 8) return 0;
    return n_bytes == 32 || n_bytes % 64 == 0 ? 4 : 2;
  }

  static std::int64_t reach(std::int64_t n_bytes) { return n_bytes; }

  static std::int64_t gather_cost(std::int64_t n_bytes) { return n_bytes <= 8 ? 16 : 8; }

  static std::int64_t tile_code_bytes(std::int64_t n_bytes) {
    return n_bytes <= 4 ? 4 : (n_bytes + 7) / 8 * 8;
  }

  template <class Use>
  static inline void with_lanes(std::int64_t n_bytes, Use&& use) {
    if (n_bytes <= 4) return use(Of<Avx512Narrow>{}, Of<Avx512Narrow>{});
    with_words((n_bytes + 7) / 8, [&](auto words) {
      constexpr int kWords = decltype(words)::value;
      if constexpr (kWords == 1) {  // rows of one word are sliced already
        use(Of<Avx512Sliced<1>>{}, Of<Avx512Sliced<1>>{});
      } else {
        use(Of<Avx512Sliced<kWords == 2 ? 2 : 0>>{}, Of<Avx512Rows<kWords>>{});
      }
    });
  }
};

}  // namespace

extern const Backend kAvx512Backend;
const Backend kAvx512Backend = make_backend<Avx512>("avx512");

}  // namespace hamming
