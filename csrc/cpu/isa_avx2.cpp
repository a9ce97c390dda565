// AVX2 has no popcount. Tiles are counted in planes of nibbles, rows in place by the byte counts of
// both nibbles from one 16-entry table (Mula's method), summed once at the end.
#include <immintrin.h>

#include "backend_impl.hpp"
#include "planes.hpp"
#include "scalar.hpp"

namespace hamming {
namespace {

inline __m256i load(const void* address) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(address));
}

// 16 bytes in both halves.
inline __m256i broadcast(const void* address) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(address)));
}

// of[q][v]: bits in which the nibbles q and v differ.
struct NibbleDistances {
  alignas(16) std::uint8_t of[16][16];
};

constexpr NibbleDistances nibble_distances() {
  NibbleDistances found{};
  for (int q = 0; q < 16; ++q) {
    for (int v = 0; v < 16; ++v) {
      for (int bits = q ^ v; bits != 0; bits &= bits - 1) ++found.of[q][v];
    }
  }
  return found;
}

constexpr NibbleDistances kNibbleDistances = nibble_distances();

// The distances of all nibbles from one, in both halves.
inline __m256i nibble_table(int nibble) { return broadcast(kNibbleDistances.of[nibble]); }

// of[n]: the shuffle of 16 bytes that begin with a row of n bytes, or with two where n <= 8, to
// rows as whole words, zero-padded.
struct Spreads {
  alignas(16) std::uint8_t of[17][16];
};

constexpr Spreads spreads() {
  constexpr std::uint8_t kZero = 0x80;
  Spreads found{};
  for (int n = 1; n <= 16; ++n) {
    const int room = n <= 8 ? 8 : 16;
    for (int i = 0; i < 16; ++i) {
      const int byte = i % room;
      found.of[n][i] = byte < n ? static_cast<std::uint8_t>(i / room * n + byte) : kZero;
    }
  }
  return found;
}

constexpr Spreads kSpreads = spreads();

// 32 codes to a vector of bytes (planes.hpp), counted nibble by nibble in the query's own tables.
struct Avx2Planes {
  static constexpr int kLanes = 32;
  static constexpr int kPlanes = 2;
  using Bytes = __m256i;
  struct Shorts {
    __m256i low;   // codes 0..7 and 16..23, as unpacking leaves them
    __m256i high;  // codes 8..15 and 24..31
  };

  class ByteQuery {
   public:
    explicit ByteQuery(std::uint8_t byte)
        : low_(nibble_table(byte & 15)), high_(nibble_table(byte >> 4)) {}
    inline Bytes count(const std::uint8_t* planes, std::int64_t stride) const {
      return _mm256_add_epi8(_mm256_shuffle_epi8(low_, load(planes)),
                             _mm256_shuffle_epi8(high_, load(planes + stride)));
    }

   private:
    __m256i low_, high_;
  };

  static inline Bytes zero() { return _mm256_setzero_si256(); }
  static inline Shorts zero_shorts() { return {zero(), zero()}; }
  static inline Bytes add(Bytes a, Bytes b) { return _mm256_add_epi8(a, b); }
  static inline Shorts widen_add(const Shorts& sums, Bytes bytes) {
    return {_mm256_add_epi16(sums.low, _mm256_unpacklo_epi8(bytes, zero())),
            _mm256_add_epi16(sums.high, _mm256_unpackhi_epi8(bytes, zero()))};
  }

  static inline Bytes min(Bytes a, Bytes b) { return _mm256_min_epu8(a, b); }
  static inline Shorts min(const Shorts& a, const Shorts& b) {
    return {_mm256_min_epu16(a.low, b.low), _mm256_min_epu16(a.high, b.high)};
  }

  // AVX2 has no unsigned comparison: x >= limit where the larger of both is x.
  static inline unsigned below(Bytes sums, std::uint64_t limit) {
    const __m256i limits = _mm256_set1_epi8(static_cast<char>(limit));
    return ~sign_bits(_mm256_cmpeq_epi8(_mm256_max_epu8(sums, limits), sums));
  }
  static inline unsigned below(const Shorts& sums, std::uint64_t limit) {
    const __m256i limits = _mm256_set1_epi16(static_cast<short>(limit));
    const __m256i low = _mm256_cmpeq_epi16(_mm256_max_epu16(sums.low, limits), sums.low);
    const __m256i high = _mm256_cmpeq_epi16(_mm256_max_epu16(sums.high, limits), sums.high);
    return ~sign_bits(_mm256_packs_epi16(low, high));
  }

  static inline void store(Bytes sums, std::uint16_t* out) {
    store_ordered(_mm256_cvtepu8_epi16(_mm256_castsi256_si128(sums)),
                  _mm256_cvtepu8_epi16(_mm256_extracti128_si256(sums, 1)), out);
  }
  static inline void store(const Shorts& sums, std::uint16_t* out) {
    store_ordered(_mm256_permute2x128_si256(sums.low, sums.high, 0x20),
                  _mm256_permute2x128_si256(sums.low, sums.high, 0x31), out);
  }

  using Half = __m128i;
  static inline Half load_pair(const void* first, const void* second) {
    return _mm_unpacklo_epi64(_mm_loadl_epi64(static_cast<const __m128i*>(first)),
                              _mm_loadl_epi64(static_cast<const __m128i*>(second)));
  }
  static inline Half zip_low(Half a, Half b) { return _mm_unpacklo_epi8(a, b); }
  static inline Half zip_high(Half a, Half b) { return _mm_unpackhi_epi8(a, b); }
  static inline void store_planes(Half bytes, std::uint8_t* out, std::int64_t stride) {
    const __m128i nibble = _mm_set1_epi8(15);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);
    _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm_and_si128(bytes, nibble));
    _mm_store_si128(reinterpret_cast<__m128i*>(out + stride), high);
  }

 private:
  static inline unsigned sign_bits(__m256i lanes_i8x32) {
    return static_cast<unsigned>(_mm256_movemask_epi8(lanes_i8x32));
  }
  static inline void store_ordered(__m256i low, __m256i high, std::uint16_t* out) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(out + 16), high);
  }
};

// The database's own rows, eight to a group. A vector takes 8, 16 or 32 bytes of a row; kRagged:
// the row is no multiple of them, and what follows it is loaded too (Avx2::reach) and dropped.
template <int kWords, bool kRagged>
class Avx2Rows {
 public:
  static constexpr int kGroup = 8;
  static constexpr int kRun = 64;
  static constexpr int kQueries = 1;
  struct Group {
    __m256i low;   // distances of codes 0..3, 64 bits each
    __m256i high;  // of codes 4..7
  };

  Avx2Rows(const Shard& shard, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint8_t*>(codes)), n_bytes_(shard.db.n_bytes), query_(query) {
    if constexpr (kRagged && kShort) {
      rest_ = broadcast(kSpreads.of[n_bytes_]);
    } else if constexpr (kRagged) {
      const auto rest = static_cast<std::size_t>(n_bytes_ % 32);
      std::uint8_t ones[32] = {}, words[32] = {};
      __builtin_memset(ones, 0xff, rest);
      __builtin_memcpy(words, query + n_bytes_ / 32 * 4, rest);
      rest_ = load(ones);
      query_rest_ = load(words);
    }
  }

  [[gnu::always_inline]] inline Group distances(std::int64_t group) const {
    const std::int64_t n_bytes = width();
    const std::uint8_t* bytes = codes_ + group * kGroup * n_bytes;
    if constexpr (kWords == 1) {
      const __m256i word = _mm256_set1_epi64x(static_cast<long long>(query_[0]));
      return {counts(_mm256_xor_si256(short_rows(bytes, 2 * n_bytes), word)),
              counts(_mm256_xor_si256(short_rows(bytes + 4 * n_bytes, 2 * n_bytes), word))};
    } else if constexpr (kWords == 2) {
      const __m256i words = broadcast(query_);
      return {two_words(bytes, n_bytes, words), two_words(bytes + 4 * n_bytes, n_bytes, words)};
    } else {
      return {four_rows(bytes), four_rows(bytes + 4 * n_bytes)};
    }
  }

  inline Group least(std::int64_t run) const { return least_of_groups(*this, run); }

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

  static inline std::int64_t append(const Group& group, std::uint64_t limit, unsigned candidates,
                                    std::int64_t first, Hit* out) {
    return append_each<Avx2Rows>(group, limit, candidates, first, out);
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    alignas(32) std::uint64_t lanes[kGroup];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), group.low);
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes + 4), group.high);
    for (int i = 0; i < kGroup; ++i) out[i] = static_cast<std::uint32_t>(lanes[i]);
  }

 private:
  static inline int sign_bits(__m256i lanes_i64x4) {
    return _mm256_movemask_pd(_mm256_castsi256_pd(lanes_i64x4));
  }

  static inline __m256i byte_counts(__m256i bits_u8x32) {
    const __m256i table = nibble_table(0);
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

  // A vector of rows of at most two words, of which the second half begins `apart` bytes further.
  inline __m256i short_rows(const std::uint8_t* bytes, std::int64_t apart) const {
    if constexpr (!kRagged) return load(bytes);
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + apart));
    return _mm256_shuffle_epi8(_mm256_set_m128i(high, low), rest_);
  }

  // Four codes of two words, two to a vector.
  inline __m256i two_words(const std::uint8_t* bytes, std::int64_t n_bytes, __m256i words) const {
    const __m256i ab = counts(_mm256_xor_si256(short_rows(bytes, n_bytes), words));
    const __m256i cd = counts(_mm256_xor_si256(short_rows(bytes + 2 * n_bytes, n_bytes), words));
    return _mm256_permute4x64_epi64(pair_sums(ab, cd), 0xd8);  // [a, c, b, d] in order
  }

  inline std::int64_t width() const { return kRagged || kWords == 0 ? n_bytes_ : 8 * kWords; }

  // The last bytes of four rows, then their chunks of 32 bytes.
  [[gnu::always_inline]] inline __m256i four_rows(const std::uint8_t* bytes) const {
    const std::int64_t n_bytes = width();
    const std::int64_t chunks = kRagged && kWords != 0 ? 0 : n_bytes / 32;
    __m256i sums[4];
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row) {
      sums[row] = _mm256_setzero_si256();
      if constexpr (kRagged) {
        const __m256i rest = load(bytes + row * n_bytes + 32 * chunks);
        sums[row] = counts(_mm256_and_si256(_mm256_xor_si256(rest, query_rest_), rest_));
      }
    }
    for (std::int64_t begin = 0; begin < chunks; begin += kByteSum) {
      add_chunks(bytes, n_bytes, begin, chunks - begin < kByteSum ? chunks : begin + kByteSum,
                 sums);
    }
    const __m256i ab = pair_sums(sums[0], sums[1]), cd = pair_sums(sums[2], sums[3]);
    return _mm256_add_epi64(_mm256_permute2x128_si256(ab, cd, 0x20),
                            _mm256_permute2x128_si256(ab, cd, 0x31));
  }

  // Chunks [begin, end) of four rows, at most kByteSum of them.
  [[gnu::always_inline]] inline void add_chunks(const std::uint8_t* bytes, std::int64_t n_bytes,
                                                std::int64_t begin, std::int64_t end,
                                                __m256i (&sums)[4]) const {
    const __m256i zero = _mm256_setzero_si256();
    __m256i sums_u8x32[4] = {zero, zero, zero, zero};
    for (std::int64_t c = begin; c < end; ++c) {
      const __m256i words = load(query_ + 4 * c);
#pragma GCC unroll 4
      for (int row = 0; row < 4; ++row) {
        const __m256i codes = load(bytes + row * n_bytes + 32 * c);
        sums_u8x32[row] =
            _mm256_add_epi8(sums_u8x32[row], byte_counts(_mm256_xor_si256(codes, words)));
      }
    }
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row) {
      sums[row] = _mm256_add_epi64(sums[row], _mm256_sad_epu8(sums_u8x32[row], zero));
    }
  }

  static constexpr bool kShort = kWords == 1 || kWords == 2;
  const std::uint8_t* codes_;
  std::int64_t n_bytes_;
  const std::uint64_t* query_;
  // kRagged: the shuffle of short rows; of others the bits of the last 32 bytes, and the query's.
  __m256i rest_ = _mm256_setzero_si256(), query_rest_ = _mm256_setzero_si256();
};

// Eight weights to a vector, added with the signs of a vector whose lanes hold the code shifted, so
// that the weight's bit is the sign: lane l of step s holds bit 31 - 4l - s of 32.
struct Avx2Weights {
  static constexpr int kValues = 64;
  static constexpr bool kSigned = true;
  using Sum = __m256i;

  static inline Sum zero() { return _mm256_setzero_si256(); }

  static inline void prepare(const std::int32_t* weights, std::int32_t* values) {
    for (int i = 0; i < 64; ++i) {
      const int bit = 31 - i % 32;
      values[i / 32 * 32 + bit % 4 * 8 + bit / 4] = -weights[i];
    }
  }

  static inline Sum add(Sum sum, const std::uint8_t* code, const std::int32_t* values) {
    const __m256i lanes = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const auto word = static_cast<int>(load_word<std::uint32_t>(code + 4 * half));
      // A lane of zero would be a weight of zero: the lowest bit, which never becomes the sign.
      __m256i signs =
          _mm256_or_si256(_mm256_sllv_epi32(_mm256_set1_epi32(word), lanes), _mm256_set1_epi32(1));
#pragma GCC unroll 4
      for (int step = 0; step < 4; ++step) {
        const __m256i weights = load(values + 32 * half + 8 * step);
        sum = _mm256_add_epi32(sum, _mm256_sign_epi32(weights, signs));
        signs = _mm256_add_epi32(signs, signs);
      }
    }
    return sum;
  }

  static inline void totals(const Sum (&sums)[4], std::int32_t* out) {
    const __m256i ab = _mm256_hadd_epi32(sums[0], sums[1]);
    const __m256i cd = _mm256_hadd_epi32(sums[2], sums[3]);
    const __m256i abcd = _mm256_hadd_epi32(ab, cd);
    _mm_storeu_si128(
        reinterpret_cast<__m128i*>(out),
        _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256(abcd, 1)));
  }
};

struct Avx2 {
  using Weights = Avx2Weights;

  static inline std::uint64_t nonzero_bits(const std::uint8_t* bytes) {
    const auto zeros = [](__m256i half) {
      const __m256i equal = _mm256_cmpeq_epi8(half, _mm256_setzero_si256());
      return static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(equal)));
    };
    return ~(zeros(load(bytes)) | zeros(load(bytes + 32)) << 32);
  }

  // Measured at 16 to 1024 bits.
  static std::int64_t rows_queries(std::int64_t n_bytes) {
    if (n_bytes == 32) return 8;
    return n_bytes == 8 || n_bytes == 16 || n_bytes % 32 == 0 ? 12 : 4;
  }

  // The vectors of a row, whole.
  static std::int64_t reach(std::int64_t n_bytes) {
    if (n_bytes == 8) return 8;
    return n_bytes <= 16 ? 16 : (n_bytes + 31) / 32 * 32;
  }

  static std::int64_t gather_cost(std::int64_t n_bytes) { return n_bytes <= 8 ? 10 : 4; }

  static std::int64_t tile_code_bytes(std::int64_t n_bytes) {
    return n_bytes <= kShortSum ? Avx2Planes::kPlanes * n_bytes : (n_bytes + 7) / 8 * 8;
  }

  template <class Use>
  static inline void with_lanes(std::int64_t n_bytes, Use&& use) {
    using Narrow = Of<PlaneLanes<Avx2Planes, false>>;
    using Wide = Of<PlaneLanes<Avx2Planes, true>>;
    switch (n_bytes) {
      case 8: return use(Narrow{}, Of<Avx2Rows<1, false>>{});
      case 16: return use(Narrow{}, Of<Avx2Rows<2, false>>{});
      case 32: return use(Wide{}, Of<Avx2Rows<4, false>>{});
      case 64: return use(Wide{}, Of<Avx2Rows<8, false>>{});
      case 96: return use(Wide{}, Of<Avx2Rows<12, false>>{});
      case 128: return use(Wide{}, Of<Avx2Rows<16, false>>{});
    }
    if (n_bytes < 8) return use(Narrow{}, Of<Avx2Rows<1, true>>{});
    if (n_bytes < 16) return use(Narrow{}, Of<Avx2Rows<2, true>>{});
    if (n_bytes < 32) return use(Narrow{}, Of<Avx2Rows<3, true>>{});
    const auto with_tiles = [&](auto rows) {
      if (n_bytes > kShortSum) return use(Of<ScalarLanes<0>>{}, rows);
      use(Wide{}, rows);
    };
    if (n_bytes % 32 == 0) return with_tiles(Of<Avx2Rows<0, false>>{});
    with_tiles(Of<Avx2Rows<0, true>>{});
  }
};

}  // namespace

extern const Backend kAvx2Backend;
const Backend kAvx2Backend = make_backend<Avx2>("avx2");

}  // namespace hamming
