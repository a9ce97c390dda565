// How a search is cut into shards, and the scratch memory a shard needs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "search.hpp"

namespace hamming {

constexpr std::int64_t kTileAlignment = 64;

// Queries as whole 64-bit words, zero-padded: (n_queries, n_words).
std::vector<std::uint64_t> pad_queries(const CodesView& queries);

inline std::int64_t words_of(const CodesView& codes) { return (codes.n_bytes + 7) / 8; }

// The shards of one search: n_query_shards x n_db_shards independent pieces.
struct Plan {
  std::int64_t n_query_shards;
  std::int64_t n_db_shards;
  int n_threads;
};

// Many queries: each thread takes some of them over the whole database, and no merge is needed.
// Few: each thread takes part of the database, so that one query uses every core.
Plan plan_shards(const Options& options, std::int64_t n_queries, const CodesView& db);

// Runs task(number of the database shard, first query, number of queries) for every shard.
void for_each_piece(const Plan& plan, std::int64_t n_queries,
                    const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& task);

// A shard's tile memory; one per running task.
class Scratch {
 public:
  Scratch(const Options& options, const CodesView& db, std::int64_t n_queries);
  // Part s of n_shards of db against n_queries queries.
  Shard shard(const CodesView& db, std::int64_t s, std::int64_t n_shards, const std::uint8_t* mask,
              const std::uint64_t* query_words, std::int64_t n_queries);

 private:
  std::int64_t n_words_;
  std::int64_t tile_codes_;
  bool rows_;
  std::vector<std::uint64_t> words_;
  std::vector<std::uint8_t> gathered_;  // sized when a mask asks for it
  std::vector<std::int64_t> gathered_rows_;
};

// Bounds of part i of n of the range [0, total): parts differ by at most one unit of `unit` rows.
inline std::int64_t part_begin(std::int64_t total, std::int64_t i, std::int64_t n,
                               std::int64_t unit) {
  const std::int64_t units = (total + unit - 1) / unit;
  const std::int64_t begin = units / n * i + (i < units % n ? i : units % n);
  return begin * unit < total ? begin * unit : total;
}

}  // namespace hamming
