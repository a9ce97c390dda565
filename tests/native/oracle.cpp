#include "oracle.hpp"

#include <algorithm>
#include <limits>

namespace oracle {
namespace {

bool bit(const std::uint8_t* code, std::int64_t i, bool big_endian_bits) {
  const std::int64_t place = big_endian_bits ? 7 - i % 8 : i % 8;
  return (code[i / 8] >> place) % 2 == 1;
}

}  // namespace

std::int32_t distance(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n_bytes) {
  std::int32_t count = 0;
  for (std::int64_t i = 0; i < n_bytes; ++i) {
    for (int differing = a[i] ^ b[i]; differing != 0; differing /= 2) count += differing % 2;
  }
  return count;
}

std::vector<Ranked> ranked(const std::uint8_t* query, const CodesView& db,
                           const std::uint8_t* mask) {
  std::vector<Ranked> all;
  for (std::int64_t i = 0; i < db.n_codes; ++i) {
    if (mask != nullptr && mask[i] == 0) continue;
    all.push_back({distance(query, db.data + i * db.n_bytes, db.n_bytes), i});
  }
  std::sort(all.begin(), all.end(), [](const Ranked& a, const Ranked& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.index < b.index;
  });
  return all;
}

std::vector<Ranked> topk(const std::vector<Ranked>& all, std::int64_t k) {
  std::vector<Ranked> best = all;
  best.resize(static_cast<std::size_t>(k), {std::numeric_limits<std::int32_t>::max(), -1});
  return best;
}

std::vector<Ranked> within(const std::vector<Ranked>& all, std::int64_t radius) {
  std::vector<Ranked> near;
  for (const Ranked& one : all) {
    if (one.distance <= radius) near.push_back(one);
  }
  return near;
}

std::vector<std::uint8_t> packed(const std::vector<bool>& above, bool big_endian_bits) {
  std::vector<std::uint8_t> bytes((above.size() + 7) / 8);
  for (std::size_t i = 0; i < above.size(); ++i) {
    const std::size_t place = big_endian_bits ? 7 - i % 8 : i % 8;
    if (above[i]) bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | 1 << place);
  }
  return bytes;
}

double score(const float* query, const std::uint8_t* code, std::int64_t n_bits,
             bool big_endian_bits) {
  double sum = 0;
  for (std::int64_t i = 0; i < n_bits; ++i) {
    const auto component = static_cast<double>(query[i]);
    sum += bit(code, i, big_endian_bits) ? component : -component;
  }
  return sum;
}

}  // namespace oracle
