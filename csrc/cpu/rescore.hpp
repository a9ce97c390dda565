// Asymmetric scores: the inner product of a float query with +-1 codes. Each four bits of a code
// pick one of 16 precomputed partial sums, so a candidate costs two lookups a byte instead of eight
// adds.
#pragma once

#include "../hamming.hpp"

namespace hamming {
namespace {

// tables[16 * j + v]: the contribution of bits 4j..4j+3 of a code when they read v, first bit
// highest.
inline void build_tables(const float* query, std::int64_t n_bits, bool big_endian_bits,
                         float* tables) {
  for (std::int64_t begin = 0; begin < n_bits; begin += 4, tables += 16) {
    for (int value = 0; value < 16; ++value) {
      double sum = 0;
      for (int bit = 0; bit < 4; ++bit) {
        const int place = big_endian_bits ? 3 - bit : bit;
        const double component = static_cast<double>(query[begin + bit]);
        sum += (value >> place) & 1 ? component : -component;
      }
      tables[value] = static_cast<float>(sum);
    }
  }
}

inline void rescore(const RescoreArgs& args, std::int64_t query, float* tables, float* scores) {
  build_tables(args.queries + query * args.n_bits, args.n_bits, args.big_endian_bits, tables);
  const std::int64_t* indices = args.indices + query * args.n_candidates;
  const std::int64_t n_bytes = args.db.n_bytes;
  const int first_shift = args.big_endian_bits ? 4 : 0;
  for (std::int64_t i = 0; i < args.n_candidates; ++i) {
    if (indices[i] < 0) {
      scores[i] = -__builtin_inff();
      continue;
    }
    const std::uint8_t* row = args.db.data + indices[i] * n_bytes;
    double sum = 0;  // float tables, double sum: the error stays far below 1e-5 of the L1 norm
    for (std::int64_t b = 0; b < n_bytes; ++b) {
      const float* table = tables + 32 * b;
      sum += static_cast<double>(table[(row[b] >> first_shift) & 15]);
      sum += static_cast<double>(table[16 + ((row[b] >> (4 - first_shift)) & 15)]);
    }
    scores[i] = static_cast<float>(sum);
  }
}

}  // namespace
}  // namespace hamming
