// Radius search in two passes over the database. The first counts the hits of every (query,
// distance); their running sums say where each hit belongs, so the second writes it there at once:
// no growing buffers, no sort, and an order that no thread count can change.
#include <algorithm>
#include <vector>

#include "parallel.hpp"
#include "plan.hpp"
#include "search.hpp"

namespace hamming {

struct RadiusSearch::State {
  Options options;
  CodesView queries;
  CodesView db;
  const std::uint8_t* mask;
  std::int64_t n_distances;  // radius + 1
  Plan plan;
  std::vector<std::uint64_t> words;
  std::vector<std::int64_t> positions;  // (n_db_shards, n_queries, n_distances)

  std::int64_t* of(std::int64_t db_shard, std::int64_t query) {
    return positions.data() + (db_shard * queries.n_codes + query) * n_distances;
  }

  void scan(std::int32_t* distances, std::int64_t* indices) {
    parallel_for(plan.n_query_shards * plan.n_db_shards, plan.n_threads, [&](std::int64_t task) {
      const std::int64_t s = task % plan.n_db_shards;
      const std::int64_t part = task / plan.n_db_shards;
      const std::int64_t first = part_begin(queries.n_codes, part, plan.n_query_shards, 1);
      const std::int64_t n_queries =
          part_begin(queries.n_codes, part + 1, plan.n_query_shards, 1) - first;
      std::vector<RadiusSink> sinks;
      sinks.reserve(static_cast<std::size_t>(n_queries));
      for (std::int64_t q = 0; q < n_queries; ++q) {
        sinks.push_back(
            {of(s, first + q), static_cast<std::uint64_t>(n_distances), distances, indices});
      }
      Scratch scratch(options, db, n_queries);
      const Shard shard = scratch.shard(db, part_begin(db.n_codes, s, plan.n_db_shards, kBlock),
                                        part_begin(db.n_codes, s + 1, plan.n_db_shards, kBlock),
                                        mask, words.data() + first * words_of(db), n_queries);
      options.backend->scan_radius(shard, sinks.data());
    });
  }
};

RadiusSearch::RadiusSearch(const Options& options, const CodesView& queries, const CodesView& db,
                           const std::uint8_t* mask, std::int64_t radius)
    : state_(new State{options,
                       queries,
                       db,
                       mask,
                       std::min(radius, 8 * db.n_bytes) + 1,
                       plan_shards(options, queries.n_codes, db),
                       pad_queries(queries),
                       {}}) {
  state_->positions.resize(
      static_cast<std::size_t>(state_->plan.n_db_shards * queries.n_codes * state_->n_distances));
}

RadiusSearch::~RadiusSearch() = default;

void RadiusSearch::count(std::int64_t* offsets) {
  State& state = *state_;
  state.scan(nullptr, nullptr);
  std::int64_t total = 0;
  for (std::int64_t q = 0; q < state.queries.n_codes; ++q) {
    offsets[q] = total;
    for (std::int64_t d = 0; d < state.n_distances; ++d) {
      for (std::int64_t s = 0; s < state.plan.n_db_shards; ++s) {
        const std::int64_t count = state.of(s, q)[d];
        state.of(s, q)[d] = total;
        total += count;
      }
    }
  }
  offsets[state.queries.n_codes] = total;
}

void RadiusSearch::fill(std::int32_t* distances, std::int64_t* indices) {
  state_->scan(distances, indices);
}

}  // namespace hamming
