// What the answers should be, one bit at a time; shares no code with the kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "hamming.hpp"

namespace oracle {

using hamming::CodesView;

std::int32_t distance(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n_bytes);

struct Ranked {
  std::int32_t distance;
  std::int64_t index;
  bool operator==(const Ranked& other) const {
    return distance == other.distance && index == other.index;
  }
};

// The searchable codes of one query, by (distance, then smaller index).
std::vector<Ranked> ranked(const std::uint8_t* query, const CodesView& db,
                           const std::uint8_t* mask);

// The first k of them; (INT32_MAX, -1) where fewer are searchable.
std::vector<Ranked> topk(const std::vector<Ranked>& all, std::int64_t k);

std::vector<Ranked> within(const std::vector<Ranked>& all, std::int64_t radius);

// Packs one row; `above` says which bits are set.
std::vector<std::uint8_t> packed(const std::vector<bool>& above, bool big_endian_bits);

double score(const float* query, const std::uint8_t* code, std::int64_t n_bits,
             bool big_endian_bits);

}  // namespace oracle
