// The searches on whole arrays: they plan shards, own the memory, run threads and merge. Everything
// here is compiled for any CPU and reaches an instruction set through a Backend only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../hamming.hpp"

namespace hamming {

// Sizes that decide speed and memory, never results. Tests shrink them.
struct Tuning {
  std::int64_t tile_bytes;       // a tile, which should stay in L1
  std::int64_t buffer_extra;     // candidate slots beyond k; 0 = max(k, 512)
  std::int64_t block_bytes;      // candidate memory of one block of queries
  std::int64_t rows_queries;     // rows in place up to so many queries; -1 = the ISA's own choice
  std::int64_t work_per_thread;  // code comparisons times words below which a thread does not pay
  std::int64_t sampled_k;        // the least k whose scans begin with a sample; 0 = none does
};

struct Options {
  const Backend* backend;
  Tuning tuning;
  int n_threads;
};

struct TopkOut {
  std::int32_t* distances;  // (n_queries, k)
  std::int64_t* indices;
};

void topk(const Options& options, const CodesView& queries, const CodesView& db,
          const std::uint8_t* mask, std::int64_t k, const TopkOut& out);

void distance(const Options& options, const CodesView& queries, const CodesView& db,
              std::int32_t* out);

// Two passes, so that the result is allocated once and exactly: count() fills offsets (n_queries +
// 1), fill() then places each hit where it belongs, already in order.
class RadiusSearch {
 public:
  RadiusSearch(const Options& options, const CodesView& queries, const CodesView& db,
               const std::uint8_t* mask, std::int64_t radius);
  ~RadiusSearch();
  void count(std::int64_t* offsets);
  void fill(std::int32_t* distances, std::int64_t* indices);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Returns the first row with a NaN (out is then unspecified), or -1.
std::int64_t pack(const Options& options, const PackArgs& args, std::int64_t n_rows,
                  std::uint8_t* out);

struct RescoreOut {
  float* scores;  // (n_queries, k)
  std::int64_t* indices;
};

// The k candidates of highest score, ordered by score, then by smaller index; missing ones, of
// index -1 and score -inf, last.
void rescore(const Options& options, const RescoreArgs& args, std::int64_t n_queries,
             std::int64_t k, const RescoreOut& out);

}  // namespace hamming
