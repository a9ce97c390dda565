// Turns the Isa that the including file defines into a Backend value. Everything above it is in
// anonymous namespaces: two translation units must never emit the same symbol, or the linker may
// hand code built for a newer CPU to an older one.
#pragma once

#include "../hamming.hpp"
#include "pack.hpp"
#include "rescore.hpp"
#include "scan.hpp"

namespace hamming {
namespace {

template <class Isa>
constexpr Backend make_backend(const char* name) {
  return Backend{
      name,
      Isa::rows_queries,
      Isa::tile_code_bytes,
      [](const Shard& shard, Collector* collectors) { scan<Isa>(shard, collectors); },
      [](const Shard& shard, RadiusSink* sinks) { scan<Isa>(shard, sinks); },
      [](const Shard& shard, std::int32_t* out) { scan_distances<Isa>(shard, out); },
      pack,
      rescore<typename Isa::Weights>,
  };
}

}  // namespace
}  // namespace hamming
