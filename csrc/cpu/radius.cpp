// Radius search in two passes. The first counts the hits of every (query, distance); their running
// sums say where each hit belongs, so the second writes it there at once: no growing buffers, no
// sort, and an order that no thread count can change. The second pass reads the hits that the first
// one kept; where they were more than fit, it reads the database again.
#include <algorithm>
#include <vector>

#include "plan.hpp"
#include "search.hpp"
#include "select.hpp"

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
  std::int64_t capacity;                // hits kept for each shard and query
  std::unique_ptr<Hit[]> hits;          // left uninitialised: pages never written cost nothing
  std::vector<RadiusSink> sinks;        // (n_db_shards, n_queries)
  std::int64_t n_hits;

  std::int64_t place(std::int64_t db_shard, std::int64_t query) const {
    return db_shard * queries.n_codes + query;
  }

  std::int64_t* of(std::int64_t db_shard, std::int64_t query) {
    return positions.data() + place(db_shard, query) * n_distances;
  }

  void scan() {
    for_each_piece(plan, queries.n_codes, [&](std::int64_t s, std::int64_t first, std::int64_t n) {
      Scratch scratch(options, db, n);
      const Shard shard =
          scratch.shard(db, s, plan.n_db_shards, mask, words.data() + first * words_of(db), n);
      options.backend->scan_radius(shard, sinks.data() + place(s, first));
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
                       {},
                       0,
                       nullptr,
                       {},
                       0}) {
  State& state = *state_;
  const std::int64_t n_sinks = state.plan.n_db_shards * queries.n_codes;
  state.positions.resize(static_cast<std::size_t>(n_sinks * state.n_distances));
  if (n_sinks == 0) return;
  const auto bytes_per_hit = static_cast<std::int64_t>(sizeof(Hit));
  state.capacity = std::min(options.tuning.block_bytes / bytes_per_hit / n_sinks,
                            db.n_codes / state.plan.n_db_shards + kBlock + kHitRoom);
  state.hits.reset(new Hit[static_cast<std::size_t>(n_sinks * state.capacity)]);
}

RadiusSearch::~RadiusSearch() = default;

void RadiusSearch::count(std::int64_t* offsets) {
  State& state = *state_;
  const std::int64_t n_sinks = state.plan.n_db_shards * state.queries.n_codes;
  state.sinks.reserve(static_cast<std::size_t>(n_sinks));
  for (std::int64_t i = 0; i < n_sinks; ++i) {
    state.sinks.push_back({state.positions.data() + i * state.n_distances,
                           static_cast<std::uint64_t>(state.n_distances), nullptr, nullptr,
                           state.hits.get() + i * state.capacity, 0, state.capacity, 0});
  }
  state.scan();
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
  offsets[state.queries.n_codes] = state.n_hits = total;
}

void RadiusSearch::fill(std::int32_t* distances, std::int64_t* indices) {
  State& state = *state_;
  for (RadiusSink& sink : state.sinks) {
    sink.n_hits = state.n_hits;
    sink.distances = distances;
    sink.indices = indices;
    sink.capacity = 0;
  }
  const bool all_kept = std::all_of(state.sinks.begin(), state.sinks.end(),
                                    [](const RadiusSink& sink) { return sink.size >= 0; });
  if (!all_kept) return state.scan();
  for_each_piece(state.plan, state.queries.n_codes,
                 [&](std::int64_t s, std::int64_t first, std::int64_t n) {
                   for (std::int64_t q = first; q < first + n; ++q) {
                     RadiusSink& sink = state.sinks[static_cast<std::size_t>(state.place(s, q))];
                     accept(sink, sink.hits, sink.size);
                   }
                 });
}

}  // namespace hamming
