// Runs fixed searches under callgrind, which counts the instructions of each: one dump a search,
// named "function backend n_bytes n_codes n_queries". The data are the same for every n_codes, so
// that the difference of two sizes is the scan of the codes between them.
//
//   valgrind --tool=callgrind --instr-atstart=no count TILE_BYTES BLOCK_BYTES ROWS_QUERIES
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "cpu/dispatch.hpp"
#include "cpu/search.hpp"

namespace {

using namespace hamming;

constexpr std::int64_t kSizes[] = {8192, 16384};
constexpr std::int64_t kMaxQueries = 16;

std::vector<std::uint8_t> random_bytes(std::int64_t count, std::uint64_t state) {
  std::vector<std::uint8_t> bytes;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    bytes.push_back(static_cast<std::uint8_t>(state >> 56));
  }
  return bytes;
}

void counted(const std::string& name, const std::function<void()>& search) {
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  search();
  CALLGRIND_DUMP_STATS_AT(name.c_str());
  CALLGRIND_STOP_INSTRUMENTATION;
}

struct Buffers {
  std::vector<std::int32_t> distances;
  std::vector<std::int64_t> indices;
};

void count_topk(const std::string& name, const Options& options, const CodesView& queries,
                const CodesView& db, const std::uint8_t* mask, std::int64_t k, Buffers& buffers) {
  const TopkOut out{buffers.distances.data(), buffers.indices.data()};
  counted(name, [&] { topk(options, queries, db, mask, k, out); });
}

void count_all(const Options& options, std::int64_t n_bytes, std::int64_t n_codes,
               Buffers& buffers) {
  const std::vector<std::uint8_t> query_bytes = random_bytes(kMaxQueries * n_bytes, 1);
  const std::vector<std::uint8_t> db_bytes = random_bytes(kSizes[1] * n_bytes, 2);
  std::vector<std::uint8_t> mask = random_bytes(kSizes[1], 3);
  for (std::uint8_t& byte : mask) byte &= 1;

  const CodesView batch{query_bytes.data(), kMaxQueries, n_bytes};
  const CodesView single{query_bytes.data(), 1, n_bytes};
  const CodesView db{db_bytes.data(), n_codes, n_bytes};
  const auto name = [&](const char* function, const CodesView& queries) {
    return std::string(function) + " " + options.backend->name + " " + std::to_string(n_bytes) +
           " " + std::to_string(n_codes) + " " + std::to_string(queries.n_codes);
  };
  count_topk(name("batch", batch), options, batch, db, nullptr, 10, buffers);
  count_topk(name("single", single), options, single, db, nullptr, 10, buffers);
  count_topk(name("k1000", batch), options, batch, db, nullptr, 1000, buffers);
  count_topk(name("masked", batch), options, batch, db, mask.data(), 10, buffers);
  counted(name("distance", batch), [&] { distance(options, batch, db, buffers.distances.data()); });
  std::vector<std::int64_t> offsets(static_cast<std::size_t>(kMaxQueries) + 1);
  RadiusSearch search(options, batch, db, nullptr, 3 * n_bytes);
  counted(name("radius", batch), [&] { search.count(offsets.data()); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: count TILE_BYTES BLOCK_BYTES ROWS_QUERIES\n");
    return 2;
  }
  Tuning tuning{};
  tuning.tile_bytes = std::atoll(argv[1]);
  tuning.block_bytes = std::atoll(argv[2]);
  tuning.rows_queries = std::atoll(argv[3]);
  tuning.work_per_thread = 1;
  Buffers buffers{std::vector<std::int32_t>(static_cast<std::size_t>(kMaxQueries * kSizes[1])),
                  std::vector<std::int64_t>(static_cast<std::size_t>(kMaxQueries * kSizes[1]))};
  for (const BackendEntry& entry : all_backends()) {
    if (!entry.supported) continue;  // valgrind emulates a CPU without AVX-512
    for (const std::int64_t n_bytes : {8, 9, 32, 128}) {
      for (const std::int64_t n_codes : kSizes) {
        count_all({entry.backend, tuning, 1}, n_bytes, n_codes, buffers);
      }
    }
  }
  return 0;
}
