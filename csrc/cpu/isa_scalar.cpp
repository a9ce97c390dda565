// Any 64-bit CPU with a popcount instruction (x86-64-v2, every AArch64).
#include "backend_impl.hpp"
#include "scalar.hpp"

namespace hamming {
namespace {

// values[16 * i + v]: the sum of weights 4i ... 4i + 3 whose bit is set in v, so that four weights
// cost one lookup.
struct ScalarWeights {
  static constexpr int kValues = 256;
  static constexpr bool kSigned = false;
  using Sum = std::uint32_t;

  static inline Sum zero() { return 0; }

  static inline void prepare(const std::int32_t* weights, std::int32_t* values) {
    for (int i = 0; i < 64; i += 4, values += 16) {
      values[0] = 0;
      for (int v = 1; v < 16; ++v) values[v] = values[v & (v - 1)] + weights[i + __builtin_ctz(v)];
    }
  }

  static inline Sum add(Sum sum, const std::uint8_t* code, const std::int32_t* values) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i, values += 32) {
      sum += static_cast<Sum>(values[code[i] & 15]) + static_cast<Sum>(values[16 + (code[i] >> 4)]);
    }
    return sum;
  }

  static inline void totals(const Sum (&sums)[4], std::int32_t* out) {
    for (int r = 0; r < 4; ++r) out[r] = static_cast<std::int32_t>(sums[r]);
  }
};

struct Scalar {
  using Weights = ScalarWeights;

  static std::uint64_t nonzero_bits(const std::uint8_t* bytes) {
    return portable_nonzero_bits(bytes);
  }

  static std::int64_t rows_queries(std::int64_t n_bytes) {
    return n_bytes % 8 == 0 ? kAnyQueries : 0;
  }

  static std::int64_t reach(std::int64_t n_bytes) { return n_bytes; }

  static std::int64_t gather_cost(std::int64_t n_bytes) { return n_bytes <= 8 ? 5 : 4; }

  static std::int64_t tile_code_bytes(std::int64_t n_bytes) { return (n_bytes + 7) / 8 * 8; }

  template <class Use>
  static inline void with_lanes(std::int64_t n_bytes, Use&& use) {
    with_words((n_bytes + 7) / 8, [&](auto words) {
      using Lanes = ScalarLanes<decltype(words)::value>;
      use(Of<Lanes>{}, Of<Lanes>{});
    });
  }
};

}  // namespace

extern const Backend kScalarBackend;
const Backend kScalarBackend = make_backend<Scalar>("scalar");

}  // namespace hamming
