#include "plan.hpp"

#include <algorithm>
#include <cstring>

#include "parallel.hpp"

namespace hamming {
namespace {

std::int64_t tile_codes_for(const Options& options, const CodesView& db) {
  const std::int64_t code_bytes = options.backend->tile_code_bytes(db.n_bytes);
  const std::int64_t fitting = options.tuning.tile_bytes / code_bytes / kTileUnit * kTileUnit;
  const std::int64_t needed = (db.n_codes + kTileUnit - 1) / kTileUnit * kTileUnit;
  return std::max(kTileUnit, std::min(fitting, needed));
}

bool rows_in_place(const Options& options, const CodesView& db, std::int64_t n_queries) {
  const std::int64_t best = options.backend->rows_queries(db.n_bytes);
  const std::int64_t tuned = options.tuning.rows_queries;
  return best > 0 && n_queries <= (tuned >= 0 ? tuned : best);
}

}  // namespace

std::vector<std::uint64_t> pad_queries(const CodesView& queries) {
  const std::int64_t n_words = words_of(queries);
  std::vector<std::uint64_t> words(static_cast<std::size_t>(queries.n_codes * n_words));
  for (std::int64_t q = 0; q < queries.n_codes; ++q) {
    std::memcpy(words.data() + q * n_words, queries.data + q * queries.n_bytes,
                static_cast<std::size_t>(queries.n_bytes));
  }
  return words;
}

Plan plan_shards(const Options& options, std::int64_t n_queries, const CodesView& db) {
  // A comparison of a batch costs about a third of a single query's, which waits for memory.
  const double per_code = (static_cast<double>(n_queries) + 2) / 3;
  const double work =
      per_code * static_cast<double>(db.n_codes) * static_cast<double>(words_of(db));
  const double paying =
      work / static_cast<double>(std::max<std::int64_t>(1, options.tuning.work_per_thread));
  const std::int64_t n_threads = static_cast<std::int64_t>(
      std::max(1.0, std::min(static_cast<double>(options.n_threads), paying)));
  // Four queries a thread keep a tile's copy cheap beside its sweeps, and the split even enough.
  if (n_queries >= 4 * n_threads) return {n_threads, 1, static_cast<int>(n_threads)};
  const std::int64_t n_blocks = std::max<std::int64_t>(1, db.n_codes / kBlock);
  return {1, std::min(n_threads, n_blocks), static_cast<int>(n_threads)};
}

void for_each_piece(const Plan& plan, std::int64_t n_queries,
                    const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& task) {
  parallel_for(plan.n_query_shards * plan.n_db_shards, plan.n_threads, [&](std::int64_t i) {
    const std::int64_t part = i / plan.n_db_shards;
    const std::int64_t first = part_begin(n_queries, part, plan.n_query_shards, 1);
    const std::int64_t end = part_begin(n_queries, part + 1, plan.n_query_shards, 1);
    task(i % plan.n_db_shards, first, end - first);
  });
}

Scratch::Scratch(const Options& options, const CodesView& db, std::int64_t n_queries)
    : n_words_(words_of(db)),
      tile_codes_(tile_codes_for(options, db)),
      rows_(rows_in_place(options, db, n_queries)),
      words_(static_cast<std::size_t>(
          (tile_codes_ * options.backend->tile_code_bytes(db.n_bytes) + kTileAlignment) / 8)) {}

Shard Scratch::shard(const CodesView& db, std::int64_t s, std::int64_t n_shards,
                     const std::uint8_t* mask, const std::uint64_t* query_words,
                     std::int64_t n_queries) {
  const auto address = reinterpret_cast<std::uintptr_t>(words_.data());
  const auto aligned = (address + kTileAlignment - 1) / kTileAlignment * kTileAlignment;
  if (mask != nullptr) {
    gathered_.resize(static_cast<std::size_t>(tile_codes_ * db.n_bytes));
    gathered_rows_.resize(static_cast<std::size_t>(tile_codes_));
  }
  return {db,
          part_begin(db.n_codes, s, n_shards, kBlock),
          part_begin(db.n_codes, s + 1, n_shards, kBlock),
          mask,
          query_words,
          n_queries,
          n_words_,
          reinterpret_cast<std::uint64_t*>(aligned),
          gathered_.data(),
          gathered_rows_.data(),
          tile_codes_,
          rows_};
}

}  // namespace hamming
