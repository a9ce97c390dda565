// Asymmetric scores: the inner product of a float query with +-1 codes, in fixed point. The weights
// of a segment, which are the query's components, are rounded to multiples of a power of two that
// leaves their absolute sum 30 bits, and summed as integers: exactly, so in any order, so that
// every instruction set returns the same bits. Rounding moves a score by at most n/2 steps, of at
// most 2^-29 of the segment's L1 norm each: 1e-6 of it for 1024 bits.
//
// A Weights holds the primitives of an instruction set, on the 64 weights of eight bytes of code:
//   kValues                   32-bit values that they are prepared as
//   kSigned                   whether a bit that is not set subtracts its weight, or adds nothing
//   Sum, zero()               running sum of one row
//   prepare(weights, values)  weights: in the order of the bits of a little-endian word
//   add(Sum, code, values)    the sum with eight bytes of code
//   totals(sums, int32_t*)    of four rows
#pragma once

#include "../hamming.hpp"
#include "tile.hpp"

namespace hamming {
namespace {

constexpr std::int64_t kSegmentBytes = 128;
constexpr std::int64_t kRescoreRows = 4;    // rows that share the loads of the values
constexpr std::int64_t kRescoreBatch = 32;  // rows that are prefetched while others are summed

// Part of a query, ready to be summed: score = step * (sum of the weights with the code's signs).
template <class Weights>
struct Segment {
  alignas(64) std::int32_t values[kSegmentBytes / 8 * Weights::kValues];
  double step;
  std::uint32_t total;  // of all weights
  std::int64_t begin;   // bytes of a code
  std::int64_t n_bytes;
};

// The power of two that is 2^-30 of the first one above `norm`.
inline double step_of(double norm) {
  if (norm == 0) return 1;
  std::uint64_t bits = 0;
  __builtin_memcpy(&bits, &norm, sizeof bits);
  bits = ((bits >> 52) + 1 - 30) << 52;  // norms of float32 queries are far from subnormal
  double step = 0;
  __builtin_memcpy(&step, &bits, sizeof step);
  return step;
}

// Of a multiple of eight components, in eight sums: an addition need not wait for the one before.
inline double l1_norm(const float* components, std::int64_t count) {
  double sums[8] = {};
  for (std::int64_t i = 0; i < count; i += 8) {
    for (int lane = 0; lane < 8; ++lane) {
      sums[lane] += __builtin_fabs(static_cast<double>(components[i + lane]));
    }
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

template <class Weights>
inline void prepare(const RescoreArgs& args, std::int64_t query, std::int64_t begin,
                    Segment<Weights>& segment) {
  const std::int64_t left = args.db.n_bytes - begin;
  segment.begin = begin;
  segment.n_bytes = left < kSegmentBytes ? left : kSegmentBytes;
  const float* components = args.queries + 8 * (query * args.db.n_bytes + begin);
  segment.step = step_of(l1_norm(components, 8 * segment.n_bytes));
  segment.total = 0;
  const double steps = 1 / segment.step;  // exact
  const std::int64_t reversed = args.big_endian_bits ? 7 : 0;
  for (std::int64_t word = 0; 8 * word < segment.n_bytes; ++word) {
    std::int32_t weights[64] = {};
    const float* first = components + 64 * word;
    const std::int64_t left_bits = 8 * segment.n_bytes - 64 * word;
    const std::int64_t count = left_bits < 64 ? left_bits : 64;
    for (std::int64_t i = 0; i < count; ++i) {
      const double exact = static_cast<double>(first[i]) * steps;
      const auto weight = static_cast<std::int32_t>(exact + (exact < 0 ? -0.5 : 0.5));
      segment.total += static_cast<std::uint32_t>(weight);
      weights[i ^ reversed] = weight;
    }
    Weights::prepare(weights, segment.values + word * Weights::kValues);
  }
}

// The last bytes of a row, fewer than a word. Reads nothing outside the row.
inline std::uint64_t last_bytes(const std::uint8_t* bytes, std::int64_t count, bool whole_before) {
  if (whole_before) return load_word<std::uint64_t>(bytes + count - 8) >> (64 - 8 * count);
  if (count == 4) return load_word<std::uint32_t>(bytes);
  return load_word<std::uint64_t>(bytes, count);
}

template <class Weights>
inline void sum_rows(const Segment<Weights>& segment, const std::uint8_t* const* rows,
                     std::int32_t* totals) {
  const std::int64_t n_words = segment.n_bytes / 8, rest = segment.n_bytes % 8;
  typename Weights::Sum sums[kRescoreRows];
#pragma GCC unroll 4
  for (auto& sum : sums) sum = Weights::zero();
  const std::int32_t* values = segment.values;
  for (std::int64_t word = 0; word < n_words; ++word, values += Weights::kValues) {
#pragma GCC unroll 4
    for (std::int64_t r = 0; r < kRescoreRows; ++r) {
      sums[r] = Weights::add(sums[r], rows[r] + 8 * word, values);
    }
  }
  if (rest != 0) {
    const bool whole_before = segment.begin + 8 * n_words > 0;
#pragma GCC unroll 4
    for (std::int64_t r = 0; r < kRescoreRows; ++r) {
      std::uint8_t padded[8];
      const std::uint64_t last = last_bytes(rows[r] + 8 * n_words, rest, whole_before);
      __builtin_memcpy(padded, &last, sizeof last);
      sums[r] = Weights::add(sums[r], padded, values);
    }
  }
  Weights::totals(sums, totals);
}

// The segment's bytes in the rows of up to kRescoreBatch candidates, prefetched: rows of a large
// database are cache misses. Missing candidates, and those past the end, stand for any row; so do
// rows that there are not, since others may write to the candidates after they were checked.
template <class Weights>
inline void find_rows(const CodesView& db, const Segment<Weights>& segment,
                      const std::int64_t* indices, std::int64_t count, const std::uint8_t** rows) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t index = indices[i];
    if (static_cast<std::uint64_t>(index) >= static_cast<std::uint64_t>(db.n_codes)) index = 0;
    rows[i] = db.data + index * db.n_bytes + segment.begin;
    for (std::int64_t line = 0; line < segment.n_bytes; line += 64) {
      __builtin_prefetch(rows[i] + line);
    }
    if (segment.n_bytes > 16) __builtin_prefetch(rows[i] + segment.n_bytes - 1);
  }
  for (std::int64_t i = count; i < kRescoreBatch; ++i) rows[i] = db.data + segment.begin;
}

inline std::int64_t batch_size(std::int64_t left) {
  return left < kRescoreBatch ? left : kRescoreBatch;
}

template <class Weights>
inline void rescore(const RescoreArgs& args, std::int64_t query, std::int64_t begin,
                    std::int64_t end, double* sums) {
  if (args.db.n_codes == 0) return;
  const std::int64_t* indices = args.indices + query * args.n_candidates;
  for (std::int64_t byte = 0; byte < args.db.n_bytes; byte += kSegmentBytes) {
    Segment<Weights> segment;
    prepare(args, query, byte, segment);
    const std::uint8_t* rows[2][kRescoreBatch];
    find_rows(args.db, segment, indices + begin, batch_size(end - begin), rows[0]);
    int now = 0;
    for (std::int64_t first = begin; first < end; first += kRescoreBatch, now = 1 - now) {
      const std::int64_t count = batch_size(end - first);
      const std::int64_t after = batch_size(end - first - count);
      find_rows(args.db, segment, indices + first + count, after, rows[1 - now]);
      std::int32_t totals[kRescoreBatch];
      for (std::int64_t i = 0; i < count; i += kRescoreRows) {
        sum_rows(segment, rows[now] + i, totals + i);
      }
      for (std::int64_t i = 0; i < count; ++i) {
        const auto sum = static_cast<std::uint32_t>(totals[i]);
        const std::uint32_t score = Weights::kSigned ? sum : 2 * sum - segment.total;
        sums[first - begin + i] += segment.step * static_cast<std::int32_t>(score);
      }
    }
  }
}

}  // namespace
}  // namespace hamming
