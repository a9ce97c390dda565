// Exact top-k: shards are scanned into collectors, whose hits one stable counting sort per query
// puts in order (distance, then smaller index). Shards are consecutive row ranges, so taking them
// in order keeps the smaller index first.
#include <algorithm>
#include <limits>
#include <vector>

#include "parallel.hpp"
#include "plan.hpp"
#include "search.hpp"
#include "select.hpp"

namespace hamming {
namespace {

// The collectors of one query shard: (n_queries, n_db_shards), and the memory behind them.
class Collectors {
 public:
  Collectors(std::int64_t n_queries, std::int64_t n_db_shards, std::int64_t capacity,
             std::int64_t k, std::int64_t n_bits)
      : n_db_shards_(n_db_shards),
        n_distances_(n_bits + 2),
        hits_(new Hit[static_cast<std::size_t>(n_queries * n_db_shards * capacity)]),
        histograms_(static_cast<std::size_t>(n_queries * n_db_shards * n_distances_)),
        items_(static_cast<std::size_t>(n_queries * n_db_shards)) {
    for (std::size_t i = 0; i < items_.size(); ++i) {
      const auto at = static_cast<std::int64_t>(i);
      items_[i] = {hits_.get() + at * capacity,
                   0,
                   capacity,
                   histograms_.data() + at * n_distances_,
                   k,
                   0,
                   0,
                   0,
                   static_cast<std::uint64_t>(n_bits) + 1};
    }
  }

  // Those of all queries for one shard of the database are adjacent, as scan_topk wants them.
  Collector* of_shard(std::int64_t db_shard, std::int64_t n_queries) {
    return items_.data() + db_shard * n_queries;
  }

  void finish(std::int64_t query, std::int64_t n_queries, std::int64_t k,
              std::vector<std::int64_t>& next, std::int32_t* distances, std::int64_t* indices) {
    next.assign(static_cast<std::size_t>(n_distances_) + 1, 0);
    for (std::int64_t s = 0; s < n_db_shards_; ++s) {
      const Collector& collector = of_shard(s, n_queries)[query];
      for (std::int64_t i = 0; i < collector.size; ++i) ++next[hit_distance(collector.hits[i]) + 1];
    }
    for (std::size_t d = 1; d < next.size(); ++d) next[d] += next[d - 1];
    const std::int64_t found = std::min(k, next.back());
    for (std::int64_t s = 0; s < n_db_shards_; ++s) {
      const Collector& collector = of_shard(s, n_queries)[query];
      for (std::int64_t i = 0; i < collector.size; ++i) {
        const Hit hit = collector.hits[i];
        const std::int64_t position = next[hit_distance(hit)]++;
        if (position >= k) continue;
        distances[position] = static_cast<std::int32_t>(hit_distance(hit));
        indices[position] = hit_index(hit);
      }
    }
    // Fewer than k searchable codes.
    std::fill(distances + found, distances + k, std::numeric_limits<std::int32_t>::max());
    std::fill(indices + found, indices + k, std::int64_t{-1});
  }

 private:
  std::int64_t n_db_shards_;
  std::int64_t n_distances_;
  std::unique_ptr<Hit[]> hits_;  // left uninitialised: pages never written cost nothing
  std::vector<std::int64_t> histograms_;
  std::vector<Collector> items_;
};

// Of rows that come nearest last, each distance brings k hits before the limit falls past it. The
// k-th nearest of any sample bounds the answer, and one spread over the shard is near to it in most
// orders. It costs a few percent on random rows, so only searches of a large k take it, where those
// hits are what counts (64 bits, N=1e6, k=1000, descending: 3.0 times a random order's time
// before).
constexpr std::int64_t kSampleOfK = 8;
constexpr std::int64_t kRowsOfK = 64;
constexpr std::int64_t kSampleRun = 4 * kBlock;

void lower_limits(const Options& options, const Shard& shard, Collector* collectors) {
  const std::int64_t k = collectors->k, n_rows = shard.end - shard.begin;
  const std::int64_t least_k = options.tuning.sampled_k;
  if (least_k == 0 || k < least_k || n_rows < kRowsOfK * k) return;
  const std::int64_t n_runs = std::max<std::int64_t>(1, kSampleOfK * k / kSampleRun);
  for (std::int64_t run = 0; run < n_runs; ++run) {
    Shard part = shard;
    part.begin = shard.begin + part_begin(n_rows, run, n_runs, kBlock);
    part.end = std::min(part.begin + kSampleRun, shard.end);
    options.backend->scan_topk(part, collectors);
  }
  for (std::int64_t q = 0; q < shard.n_queries; ++q) {
    Collector& collector = collectors[q];
    count_hits(collector);
    collector.limit =
        std::min(collector.limit + 1, static_cast<std::uint64_t>(8 * shard.db.n_bytes) + 1);
    std::fill_n(collector.histogram, 8 * shard.db.n_bytes + 2, 0);
    collector.size = collector.counted = collector.count_at = collector.below = 0;
  }
}

}  // namespace

void topk(const Options& options, const CodesView& queries, const CodesView& db,
          const std::uint8_t* mask, std::int64_t k, const TopkOut& out) {
  const std::int64_t n_bits = 8 * db.n_bytes;
  const std::int64_t n_words = words_of(db);
  const std::vector<std::uint64_t> words = pad_queries(queries);
  const Plan plan = plan_shards(options, queries.n_codes, db);
  const Tuning& tuning = options.tuning;
  const std::int64_t extra =
      tuning.buffer_extra > 0 ? tuning.buffer_extra : std::max<std::int64_t>(k, 512);
  const std::int64_t shard_rows = (db.n_codes + plan.n_db_shards - 1) / plan.n_db_shards + kBlock;
  const std::int64_t capacity = std::min(k + extra, shard_rows) + kHitRoom;

  // Blocks of queries bound the memory of candidates; each block reads the database once.
  const std::int64_t per_query = 8 * plan.n_db_shards * (capacity + n_bits + 2);
  const std::int64_t fitting =
      std::max<std::int64_t>(1, tuning.block_bytes / plan.n_query_shards / per_query);
  const std::int64_t share = (queries.n_codes + plan.n_query_shards - 1) / plan.n_query_shards;
  const std::int64_t block = std::max<std::int64_t>(1, std::min(fitting, share));
  const std::int64_t n_blocks = (queries.n_codes + block - 1) / block;

  const auto search_block = [&](std::int64_t b, int threads) {
    const std::int64_t first = b * block;
    const std::int64_t n_queries = std::min(block, queries.n_codes - first);
    Collectors collectors(n_queries, plan.n_db_shards, capacity, k, n_bits);
    parallel_for(plan.n_db_shards, threads, [&](std::int64_t s) {
      Scratch scratch(options, db, n_queries);
      const Shard shard =
          scratch.shard(db, s, plan.n_db_shards, mask, words.data() + first * n_words, n_queries);
      lower_limits(options, shard, collectors.of_shard(s, n_queries));
      options.backend->scan_topk(shard, collectors.of_shard(s, n_queries));
    });
    std::vector<std::int64_t> next;
    for (std::int64_t q = 0; q < n_queries; ++q) {
      collectors.finish(q, n_queries, k, next, out.distances + (first + q) * k,
                        out.indices + (first + q) * k);
    }
  };

  if (plan.n_db_shards > 1) {
    for (std::int64_t b = 0; b < n_blocks; ++b) search_block(b, plan.n_threads);
  } else {
    parallel_for(n_blocks, plan.n_threads, [&](std::int64_t b) { search_block(b, 1); });
  }
}

}  // namespace hamming
