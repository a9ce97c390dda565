// The searches whose rows do not depend on each other: distance and pack.
#include <algorithm>
#include <vector>

#include "parallel.hpp"
#include "plan.hpp"
#include "search.hpp"

namespace hamming {

void distance(const Options& options, const CodesView& queries, const CodesView& db,
              std::int32_t* out) {
  const std::vector<std::uint64_t> words = pad_queries(queries);
  const Plan plan = plan_shards(options, queries.n_codes, db);
  for_each_piece(plan, queries.n_codes, [&](std::int64_t s, std::int64_t first, std::int64_t n) {
    Scratch scratch(options, db, n);
    const Shard shard =
        scratch.shard(db, s, plan.n_db_shards, nullptr, words.data() + first * words_of(db), n);
    options.backend->distance(shard, out + first * db.n_codes);
  });
}

std::int64_t pack(const Options& options, const PackArgs& args, std::int64_t n_rows,
                  std::uint8_t* out) {
  const std::int64_t paying =
      n_rows * args.n_bits / std::max<std::int64_t>(1, options.tuning.work_per_thread);
  const std::int64_t n_parts = std::clamp<std::int64_t>(paying, 1, options.n_threads);
  std::vector<std::int64_t> nan_rows(static_cast<std::size_t>(n_parts), -1);
  parallel_for(n_parts, options.n_threads, [&](std::int64_t part) {
    nan_rows[static_cast<std::size_t>(part)] = options.backend->pack(
        args, part_begin(n_rows, part, n_parts, 1), part_begin(n_rows, part + 1, n_parts, 1), out);
  });
  for (const std::int64_t row : nan_rows) {
    if (row >= 0) return row;
  }
  return -1;
}

}  // namespace hamming
