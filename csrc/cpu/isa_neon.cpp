// NEON, which every AArch64 has. Its popcount counts the bits of each byte (vcntq_u8), so that in
// planes of bytes a byte of sixteen codes costs a load, an xor, a count and an add.
#include <arm_neon.h>

#include "backend_impl.hpp"
#include "planes.hpp"
#include "scalar.hpp"

namespace hamming {
namespace {

inline uint8x16_t load(const void* address) {
  return vld1q_u8(static_cast<const std::uint8_t*>(address));
}

inline uint8x16_t differing_bits(const void* codes, uint8x16_t query) {
  return vcntq_u8(veorq_u8(load(codes), query));
}

struct NeonPlanes {
  static constexpr int kLanes = 16;
  static constexpr int kPlanes = 1;
  using Bytes = uint8x16_t;
  struct Shorts {
    uint16x8_t low;
    uint16x8_t high;
  };

  class ByteQuery {
   public:
    explicit ByteQuery(std::uint8_t byte) : bytes_(vdupq_n_u8(byte)) {}
    inline Bytes count(const std::uint8_t* planes, std::int64_t) const {
      return differing_bits(planes, bytes_);
    }

   private:
    uint8x16_t bytes_;
  };

  static inline Bytes zero() { return vdupq_n_u8(0); }
  static inline Shorts zero_shorts() { return {vdupq_n_u16(0), vdupq_n_u16(0)}; }
  static inline Bytes add(Bytes a, Bytes b) { return vaddq_u8(a, b); }
  static inline Shorts widen_add(const Shorts& sums, Bytes bytes) {
    return {vaddw_u8(sums.low, vget_low_u8(bytes)), vaddw_high_u8(sums.high, bytes)};
  }

  static inline Bytes min(Bytes a, Bytes b) { return vminq_u8(a, b); }
  static inline Shorts min(const Shorts& a, const Shorts& b) {
    return {vminq_u16(a.low, b.low), vminq_u16(a.high, b.high)};
  }

  static inline unsigned below(Bytes sums, std::uint64_t limit) {
    return bit_of_each(vcltq_u8(sums, vdupq_n_u8(static_cast<std::uint8_t>(limit))));
  }
  static inline unsigned below(const Shorts& sums, std::uint64_t limit) {
    const uint16x8_t limits = vdupq_n_u16(static_cast<std::uint16_t>(limit));
    return bit_of_each(
        vmovn_high_u16(vmovn_u16(vcltq_u16(sums.low, limits)), vcltq_u16(sums.high, limits)));
  }

  static inline void store(Bytes sums, std::uint16_t* out) {
    vst1q_u16(out, vmovl_u8(vget_low_u8(sums)));
    vst1q_u16(out + 8, vmovl_high_u8(sums));
  }
  static inline void store(const Shorts& sums, std::uint16_t* out) {
    vst1q_u16(out, sums.low);
    vst1q_u16(out + 8, sums.high);
  }

  using Half = uint8x16_t;
  static inline Half load_pair(const void* first, const void* second) {
    return vcombine_u8(vld1_u8(static_cast<const std::uint8_t*>(first)),
                       vld1_u8(static_cast<const std::uint8_t*>(second)));
  }
  static inline Half zip_low(Half a, Half b) { return vzip1q_u8(a, b); }
  static inline Half zip_high(Half a, Half b) { return vzip2q_u8(a, b); }
  static inline void store_planes(Half bytes, std::uint8_t* out, std::int64_t) {
    vst1q_u8(out, bytes);
  }

 private:
  // NEON has no movemask: a bit of its own in each byte, and pairwise sums that bring them
  // together.
  static inline unsigned bit_of_each(uint8x16_t lanes) {
    const uint8x16_t places = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t bits = vandq_u8(lanes, places);
    for (int round = 0; round < 3; ++round) bits = vpaddq_u8(bits, bits);
    return vgetq_lane_u16(vreinterpretq_u16_u8(bits), 0);
  }
};

// The database's own rows, eight to a group.
template <int kWords>
class NeonRows {
 public:
  static constexpr int kGroup = 8;
  static constexpr int kRun = 64;
  static constexpr int kQueries = 1;
  struct Group {
    uint32x4_t low;   // distances of codes 0..3
    uint32x4_t high;  // of codes 4..7
  };

  NeonRows(const Shard& shard, const void* codes, const std::uint64_t* query)
      : codes_(static_cast<const std::uint8_t*>(codes)),
        n_bytes_(shard.db.n_bytes),
        query_(query),
        n_words_(shard.n_words) {}

  inline Group distances(std::int64_t group) const {
    const std::uint8_t* bytes = codes_ + group * kGroup * n_bytes_;
    Group sums{vdupq_n_u32(0), vdupq_n_u32(0)};
    if constexpr (kWords == 1) {
      const uint8x16_t word = vreinterpretq_u8_u64(vdupq_n_u64(query_[0]));
      const auto pair = [&](int i) { return vpaddlq_u8(differing_bits(bytes + 16 * i, word)); };
      add(sums, vpaddq_u16(vpaddq_u16(pair(0), pair(1)), vpaddq_u16(pair(2), pair(3))));
    } else {
      const std::int64_t chunks = kWords != 0 ? kWords / 2 : n_words_ / 2;
      for (std::int64_t begin = 0; begin < chunks; begin += kByteSum) {
        const std::int64_t end = chunks - begin < kByteSum ? chunks : begin + kByteSum;
        const auto two = [&](int row) {
          return vpaddq_u16(one_row(bytes + row * n_bytes_, begin, end),
                            one_row(bytes + (row + 1) * n_bytes_, begin, end));
        };
        add(sums, vpaddq_u16(vpaddq_u16(two(0), two(2)), vpaddq_u16(two(4), two(6))));
      }
    }
    return sums;
  }

  inline Group least(std::int64_t run) const { return least_of_groups(*this, run); }

  static inline Group min(const Group& a, const Group& b) {
    return {vminq_u32(a.low, b.low), vminq_u32(a.high, b.high)};
  }

  static inline unsigned below(const Group& group, std::uint64_t limit) {
    const uint32x4_t limits = vdupq_n_u32(static_cast<std::uint32_t>(limit));
    const uint16x8_t less =
        vmovn_high_u32(vmovn_u32(vcltq_u32(group.low, limits)), vcltq_u32(group.high, limits));
    const uint16x8_t places = {1, 2, 4, 8, 16, 32, 64, 128};
    return vaddvq_u16(vandq_u16(less, places));
  }

  static inline std::int64_t append(const Group& group, std::uint64_t limit, unsigned candidates,
                                    std::int64_t first, Hit* out) {
    return append_each<NeonRows>(group, limit, candidates, first, out);
  }

  static inline void store(const Group& group, std::uint32_t* out) {
    vst1q_u32(out, group.low);
    vst1q_u32(out + 4, group.high);
  }

 private:
  static inline void add(Group& sums, uint16x8_t distances) {
    sums.low = vaddw_u16(sums.low, vget_low_u16(distances));
    sums.high = vaddw_high_u16(sums.high, distances);
  }

  // Partial counts of chunks [begin, end) of a row, 16 bytes each.
  inline uint16x8_t one_row(const std::uint8_t* row, std::int64_t begin, std::int64_t end) const {
    uint8x16_t sum = vdupq_n_u8(0);
    for (std::int64_t c = begin; c < end; ++c) {
      sum = vaddq_u8(sum, differing_bits(row + 16 * c, load(query_ + 2 * c)));
    }
    return vpaddlq_u8(sum);
  }

  const std::uint8_t* codes_;
  std::int64_t n_bytes_;
  const std::uint64_t* query_;
  std::int64_t n_words_;
};

// Four weights to a vector, kept where the code's bit is set.
struct NeonWeights {
  static constexpr int kValues = 64;
  static constexpr bool kSigned = false;
  using Sum = uint32x4_t;

  static inline Sum zero() { return vdupq_n_u32(0); }

  static inline void prepare(const std::int32_t* weights, std::int32_t* values) {
    __builtin_memcpy(values, weights, 64 * sizeof *values);
  }

  static inline Sum add(Sum sum, const std::uint8_t* code, const std::int32_t* values) {
    static constexpr std::uint32_t kBits[4] = {1, 2, 4, 8};
    const uint32x4_t bits = vld1q_u32(kBits);
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const uint32x4_t word = vdupq_n_u32(load_word<std::uint32_t>(code + 4 * half));
#pragma GCC unroll 8
      for (int step = 0; step < 8; ++step) {
        const uint32x4_t set = vtstq_u32(word, vshlq_u32(bits, vdupq_n_s32(4 * step)));
        const int32x4_t weights = vld1q_s32(values + 32 * half + 4 * step);
        sum = vaddq_u32(sum, vandq_u32(vreinterpretq_u32_s32(weights), set));
      }
    }
    return sum;
  }

  static inline void totals(const Sum (&sums)[4], std::int32_t* out) {
    const uint32x4_t abcd = vpaddq_u32(vpaddq_u32(sums[0], sums[1]), vpaddq_u32(sums[2], sums[3]));
    vst1q_s32(out, vreinterpretq_s32_u32(abcd));
  }
};

struct Neon {
  using Weights = NeonWeights;

  static std::uint64_t nonzero_bits(const std::uint8_t* bytes) {
    return portable_nonzero_bits(bytes);
  }

  // The bound is AVX2's; no AArch64 was at hand to measure on.
  static std::int64_t rows_queries(std::int64_t n_bytes) {
    return n_bytes == 8 || n_bytes % 16 == 0 ? 12 : 0;
  }

  static std::int64_t reach(std::int64_t n_bytes) { return n_bytes; }

  // As of AVX2, whose compares are alike: not measured.
  static std::int64_t gather_cost(std::int64_t n_bytes) { return n_bytes <= 8 ? 10 : 4; }

  static std::int64_t tile_code_bytes(std::int64_t n_bytes) {
    return n_bytes <= kShortSum ? n_bytes : (n_bytes + 7) / 8 * 8;
  }

  template <class Use>
  static inline void with_lanes(std::int64_t n_bytes, Use&& use) {
    if (n_bytes > kShortSum) return use(Of<ScalarLanes<0>>{}, Of<NeonRows<0>>{});
    with_words((n_bytes + 7) / 8, [&](auto words) {
      using Rows = Of<NeonRows<decltype(words)::value>>;
      if (n_bytes <= kByteSum) return use(Of<PlaneLanes<NeonPlanes, false>>{}, Rows{});
      use(Of<PlaneLanes<NeonPlanes, true>>{}, Rows{});
    });
  }
};

}  // namespace

extern const Backend kNeonBackend;
const Backend kNeonBackend = make_backend<Neon>("neon");

}  // namespace hamming
