// Any 64-bit CPU with a popcount instruction (x86-64-v2, every AArch64).
#include "backend_impl.hpp"
#include "scalar.hpp"

namespace hamming {
namespace {

struct Scalar {
  static std::uint64_t nonzero_bits(const std::uint8_t* bytes) {
    return portable_nonzero_bits(bytes);
  }

  static std::int64_t rows_queries(std::int64_t n_bytes) {
    return n_bytes % 8 == 0 ? kAnyQueries : 0;
  }

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
