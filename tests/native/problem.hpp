// A problem is a string of bytes: the fuzzer invents them, the corpus keeps them, and a decoder
// that takes any bytes at all turns them into the arguments of one search.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/search.hpp"
#include "memory.hpp"

enum class Function { kTopk, kRadius, kDistance, kPack, kRescore };

struct Problem {
  Problem(const std::uint8_t* data, std::size_t size);

  std::string describe() const;
  hamming::Options options(const hamming::Backend* backend) const {
    return {backend, tuning, threads};
  }
  hamming::CodesView queries() const { return {query_bytes->data(), n_queries, n_bytes}; }
  hamming::CodesView db() const { return {db_bytes->data(), n_codes, n_bytes}; }
  const std::uint8_t* mask() const { return masked ? mask_bytes->data() : nullptr; }

  Function function;
  std::int64_t n_bytes, n_codes, n_queries, k, radius;
  hamming::Tuning tuning;
  int threads;
  bool masked, big_endian_bits, check_nan;
  std::unique_ptr<GuardedBytes> query_bytes, db_bytes, mask_bytes;
  // pack: n_queries rows of n_bits values. rescore: n_queries rows of 8 * n_bytes floats and of
  // n_candidates indices.
  hamming::Element element;
  std::int64_t n_bits, n_candidates;
  std::vector<std::uint8_t> raw;  // the bytes the values are made of
};

// Runs the problem on every backend this CPU has. Returns what is wrong, or "".
std::string check(const Problem& problem);
