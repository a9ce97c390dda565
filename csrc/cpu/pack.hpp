// Bit packing: bit = value > threshold, eight values to a byte. The comparison fills a row of 0/1
// bytes (which the compiler vectorises); one multiplication then gathers eight of them into a byte.
#pragma once

#include "../hamming.hpp"

namespace hamming {
namespace {

// Bytes b0..b7 (each 0 or 1, b0 at the lowest address) to one byte, b0 the highest or lowest bit.
// Read as a little-endian word, each product term lands on its own bit: no carries.
inline std::uint8_t gather_bits(const std::uint8_t* flags, bool big_endian_bits) {
  std::uint64_t word = 0;
  __builtin_memcpy(&word, flags, sizeof word);
  const std::uint64_t gather = big_endian_bits ? 0x8040201008040201u : 0x0102040810204080u;
  return static_cast<std::uint8_t>((word * gather) >> 56);
}

template <class Value>
inline bool pack_row(const Value* values, const Value* thresholds, const PackArgs& args,
                     std::uint8_t* out) {
  constexpr std::int64_t kChunk = 256;
  alignas(64) std::uint8_t flags[kChunk];
  unsigned nan = 0;
  for (std::int64_t begin = 0; begin < args.n_bits; begin += kChunk) {
    const std::int64_t count = args.n_bits - begin < kChunk ? args.n_bits - begin : kChunk;
    for (std::int64_t i = 0; i < count; ++i) flags[i] = values[begin + i] > thresholds[begin + i];
    if (args.check_nan) {
      for (std::int64_t i = 0; i < count; ++i) nan |= values[begin + i] != values[begin + i];
    }
    for (std::int64_t i = count; i % 8 != 0; ++i) flags[i] = 0;
    for (std::int64_t i = 0; i < count; i += 8) {
      *out++ = gather_bits(flags + i, args.big_endian_bits);
    }
  }
  return nan != 0;
}

template <class Value>
inline std::int64_t pack_rows(const PackArgs& args, std::int64_t begin, std::int64_t end,
                              std::uint8_t* out) {
  const Value* values = static_cast<const Value*>(args.values);
  const Value* thresholds = static_cast<const Value*>(args.thresholds);
  const std::int64_t n_bytes = (args.n_bits + 7) / 8;
  for (std::int64_t row = begin; row < end; ++row) {
    if (pack_row(values + row * args.n_bits, thresholds, args, out + row * n_bytes)) return row;
  }
  return -1;
}

inline std::int64_t pack(const PackArgs& args, std::int64_t begin, std::int64_t end,
                         std::uint8_t* out) {
  switch (args.element) {
    case Element::kUint8: return pack_rows<std::uint8_t>(args, begin, end, out);
    case Element::kInt8: return pack_rows<std::int8_t>(args, begin, end, out);
    case Element::kUint16: return pack_rows<std::uint16_t>(args, begin, end, out);
    case Element::kInt16: return pack_rows<std::int16_t>(args, begin, end, out);
    case Element::kUint32: return pack_rows<std::uint32_t>(args, begin, end, out);
    case Element::kInt32: return pack_rows<std::int32_t>(args, begin, end, out);
    case Element::kUint64: return pack_rows<std::uint64_t>(args, begin, end, out);
    case Element::kInt64: return pack_rows<std::int64_t>(args, begin, end, out);
    case Element::kFloat32: return pack_rows<float>(args, begin, end, out);
    case Element::kFloat64: return pack_rows<double>(args, begin, end, out);
  }
  __builtin_unreachable();
}

}  // namespace
}  // namespace hamming
