// NEON, which every AArch64 has: popcounts come byte by byte (vcntq_u8) and add up in bytes over
// the words of a code; pairwise adds then bring the bytes of each code together.
#include <arm_neon.h>

#include "backend_impl.hpp"

namespace hamming {
namespace {

inline uint8x16_t byte_counts(const void* codes, uint8x16_t query) {
  return vcntq_u8(veorq_u8(vld1q_u8(static_cast<const std::uint8_t*>(codes)), query));
}

template <class Lanes>
inline void append_each(const typename Lanes::Group& group, unsigned bits, std::int64_t first,
                        Hit* out) {
  if (bits == 0) return;
  std::uint32_t lanes[Lanes::kGroup];
  Lanes::store(group, lanes);
  for (; bits != 0; bits &= bits - 1) {
    const int i = __builtin_ctz(bits);
    *out++ = Hit{lanes[i]} << kIndexBits | static_cast<Hit>(first + i);
  }
}

struct NeonWide {
  using Word = std::uint64_t;
  static constexpr int kGroup = 8;
  struct Group {
    uint32x4_t low;   // distances of codes 0..3
    uint32x4_t high;  // of codes 4..7
  };

  template <int kWords>
  static inline Group sliced(const Word* words, const Word* query, std::int64_t n_words) {
    const std::int64_t count = kWords != 0 ? kWords : n_words;
    Group group{vdupq_n_u32(0), vdupq_n_u32(0)};
    for (std::int64_t begin = 0; begin < count; begin += kRun) {
      const std::int64_t end = count - begin < kRun ? count : begin + kRun;
      uint8x16_t sums[4] = {vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0), vdupq_n_u8(0)};
      for (std::int64_t w = begin; w < end; ++w) {
        const uint8x16_t word = vreinterpretq_u8_u64(vdupq_n_u64(query[w]));
        for (int pair = 0; pair < 4; ++pair) {
          const Word* codes = words + w * kGroup + 2 * pair;
          sums[pair] = vaddq_u8(sums[pair], byte_counts(codes, word));
        }
      }
      add(group, fold(fold(vpaddlq_u8(sums[0]), vpaddlq_u8(sums[1])),
                      fold(vpaddlq_u8(sums[2]), vpaddlq_u8(sums[3]))));
    }
    return group;
  }

  static bool has_rows(std::int64_t n_bytes) { return n_bytes == 8 || n_bytes % 16 == 0; }

  template <int kWords>
  static inline Group rows(const std::uint8_t* bytes, std::int64_t n_bytes, const Word* query,
                           std::int64_t n_words) {
    if constexpr (kWords == 1) {  // rows of one word are sliced already
      return sliced<1>(reinterpret_cast<const Word*>(bytes), query, n_words);
    } else {
      const std::int64_t chunks = kWords != 0 ? kWords / 2 : n_words / 2;
      Group group{vdupq_n_u32(0), vdupq_n_u32(0)};
      for (std::int64_t begin = 0; begin < chunks; begin += kRun) {
        const std::int64_t end = chunks - begin < kRun ? chunks : begin + kRun;
        const auto two = [&](int row) {
          return fold(row_counts(bytes + row * n_bytes, query, begin, end),
                      row_counts(bytes + (row + 1) * n_bytes, query, begin, end));
        };
        add(group, fold(fold(two(0), two(2)), fold(two(4), two(6))));
      }
      return group;
    }
  }

  static inline Group min(const Group& a, const Group& b) {
    return {vminq_u32(a.low, b.low), vminq_u32(a.high, b.high)};
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    const uint32x4_t limit_u32x4 = vdupq_n_u32(static_cast<std::uint32_t>(limit));
    const uint16x8_t less = vcombine_u16(vmovn_u32(vcltq_u32(group.low, limit_u32x4)),
                                         vmovn_u32(vcltq_u32(group.high, limit_u32x4)));
    const uint16x8_t place = {1, 2, 4, 8, 16, 32, 64, 128};
    return vaddvq_u16(vandq_u16(less, place));
  }

  static inline void append(const Group& group, unsigned bits, std::int64_t first, Hit* out) {
    append_each<NeonWide>(group, bits, first, out);
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    vst1q_u32(out, group.low);
    vst1q_u32(out + 4, group.high);
  }

 private:
  static constexpr std::int64_t kRun = 31;  // 31 counts of at most 8 fit in a byte

  // Adjacent lanes summed, those of a first: the lanes of each code halve in number.
  static inline uint16x8_t fold(uint16x8_t a, uint16x8_t b) { return vpaddq_u16(a, b); }

  static inline void add(Group& group, uint16x8_t distances) {
    group.low = vaddw_u16(group.low, vget_low_u16(distances));
    group.high = vaddw_high_u16(group.high, distances);
  }

  // Partial counts of chunks [begin, end) of one row, 16 bytes each.
  static inline uint16x8_t row_counts(const std::uint8_t* row, const Word* query,
                                      std::int64_t begin, std::int64_t end) {
    uint8x16_t sum = vdupq_n_u8(0);
    for (std::int64_t c = begin; c < end; ++c) {
      const uint8x16_t words = vreinterpretq_u8_u64(vld1q_u64(query + 2 * c));
      sum = vaddq_u8(sum, byte_counts(row + 16 * c, words));
    }
    return vpaddlq_u8(sum);
  }
};

struct NeonNarrow {
  using Word = std::uint32_t;
  static constexpr int kGroup = 16;
  using Group = uint8x16_t;  // sixteen distances of at most 32

  template <int kWords>
  static inline Group sliced(const Word* words, const Word* query, std::int64_t) {
    static_assert(kWords == 1, "one 32-bit word");
    const uint8x16_t word = vreinterpretq_u8_u32(vdupq_n_u32(query[0]));
    return vpaddq_u8(vpaddq_u8(byte_counts(words, word), byte_counts(words + 4, word)),
                     vpaddq_u8(byte_counts(words + 8, word), byte_counts(words + 12, word)));
  }

  static bool has_rows(std::int64_t n_bytes) { return n_bytes == 4; }

  template <int kWords>
  static inline Group rows(const std::uint8_t* bytes, std::int64_t, const Word* query,
                           std::int64_t n_words) {
    return sliced<kWords>(reinterpret_cast<const Word*>(bytes), query, n_words);
  }

  static inline Group min(Group a, Group b) { return vminq_u8(a, b); }

  static inline unsigned below(Group group, std::uint64_t limit) {
    const std::uint64_t limit_u8 = limit < 255 ? limit : 255;  // no distance reaches it
    const uint8x16_t less = vcltq_u8(group, vdupq_n_u8(static_cast<std::uint8_t>(limit_u8)));
    const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bits = vandq_u8(less, place);
    return vaddv_u8(vget_low_u8(bits)) | unsigned{vaddv_u8(vget_high_u8(bits))} << 8;
  }

  static inline void append(Group group, unsigned bits, std::int64_t first, Hit* out) {
    append_each<NeonNarrow>(group, bits, first, out);
  }

  static inline void store(Group group, std::uint32_t* out) {
    std::uint8_t lanes[kGroup];
    vst1q_u8(lanes, group);
    for (int i = 0; i < kGroup; ++i) out[i] = lanes[i];
  }
};

struct Neon {
  using Wide = NeonWide;
  using Narrow = NeonNarrow;
};

}  // namespace

extern const Backend kNeonBackend;
const Backend kNeonBackend = make_backend<Neon>("neon");

}  // namespace hamming
