// Rescoring: scores from a Backend, then the best k of each query.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "parallel.hpp"
#include "plan.hpp"
#include "search.hpp"

namespace hamming {
namespace {

struct Candidate {
  float score;
  std::int64_t index;
};

constexpr Candidate kMissing{-std::numeric_limits<float>::infinity(), -1};

bool before(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.index < b.index;
}

// A finite float32: a real candidate is never as low as a missing one.
float rounded(double score) {
  constexpr double most = std::numeric_limits<float>::max();
  return static_cast<float>(std::clamp(score, -most, most));
}

// The best k of the candidates that were offered. Those worse than the k-th so far are refused; the
// k-th is found anew whenever as many others have been accepted.
class Best {
 public:
  Best(std::int64_t k, std::int64_t n_candidates)
      : k_(static_cast<std::size_t>(k)), capacity_(2 * k_ + 16), worst_(kMissing) {
    // One more for the end of the list.
    found_.reserve(std::min(capacity_, static_cast<std::size_t>(n_candidates)) + 1);
  }

  // A score below it is refused however it is rounded: it is one float32 below the k-th.
  double limit() const { return limit_; }

  void offer(const Candidate& candidate) {
    if (!before(candidate, worst_)) return;
    found_.push_back(candidate);
    if (found_.size() == capacity_) shrink();
  }

  // In order; leaves nothing behind.
  std::vector<Candidate> take() {
    if (found_.size() > k_) shrink();
    std::sort(found_.begin(), found_.end(), before);
    return std::move(found_);
  }

 private:
  void shrink() {
    std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(k_ - 1),
                     found_.end(), before);
    found_.resize(k_);
    worst_ = found_.back();
    limit_ = std::nextafter(worst_.score, kMissing.score);
  }

  std::size_t k_;
  std::size_t capacity_;
  Candidate worst_;
  double limit_ = kMissing.score;
  std::vector<Candidate> found_;
};

// The first k of lists that are in order themselves; missing candidates where they end.
void merge(std::vector<Candidate>* lists, std::int64_t n_lists, std::int64_t k, float* scores,
           std::int64_t* indices) {
  std::vector<const Candidate*> next;
  for (std::int64_t l = 0; l < n_lists; ++l) {
    lists[l].push_back(kMissing);
    next.push_back(lists[l].data());
  }
  for (std::int64_t i = 0; i < k; ++i) {
    const Candidate** best = &next[0];
    for (const Candidate*& list : next) {
      if (before(*list, **best)) best = &list;
    }
    scores[i] = (*best)->score;
    indices[i] = (*best)->index;
    if ((*best)->index >= 0) ++*best;
  }
}

// What a candidate costs beside two of its bytes of code for each unit of work_per_thread: measured
// at 64 to 1024 bits, a second thread pays from about 0.5 ms on.
constexpr std::int64_t kCandidateWork = 8;

}  // namespace

void rescore(const Options& options, const RescoreArgs& args, std::int64_t n_queries,
             std::int64_t k, const RescoreOut& out) {
  const std::int64_t work = n_queries * args.n_candidates * (args.db.n_bytes / 2 + kCandidateWork);
  const std::int64_t paying = work / std::max<std::int64_t>(1, options.tuning.work_per_thread);
  const auto n_threads =
      static_cast<int>(std::clamp<std::int64_t>(paying, 1, std::max(1, options.n_threads)));
  // Few queries are cut into lists of candidates, so that one query uses every core.
  const std::int64_t n_parts = n_queries == 0 ? 1 : (n_threads + n_queries - 1) / n_queries;
  std::vector<std::vector<Candidate>> found(
      static_cast<std::size_t>(n_parts > 1 ? n_queries * n_parts : 0));
  parallel_for(n_queries * n_parts, n_threads, [&](std::int64_t task) {
    const std::int64_t query = task / n_parts, part = task % n_parts;
    const std::int64_t begin = part_begin(args.n_candidates, part, n_parts, 1);
    const std::int64_t end = part_begin(args.n_candidates, part + 1, n_parts, 1);
    const std::int64_t* indices = args.indices + query * args.n_candidates;
    std::vector<double> sums(static_cast<std::size_t>(end - begin));
    options.backend->rescore(args, query, begin, end, sums.data());
    Best best(k, end - begin);
    for (std::int64_t i = begin; i < end; ++i) {
      const double sum = sums[static_cast<std::size_t>(i - begin)];
      if (sum < best.limit() || indices[i] < 0) continue;
      best.offer({rounded(sum), indices[i]});
    }
    std::vector<Candidate> list = best.take();
    if (n_parts == 1) {
      merge(&list, 1, k, out.scores + query * k, out.indices + query * k);
    } else {
      found[static_cast<std::size_t>(task)] = std::move(list);
    }
  });
  if (n_parts == 1) return;
  for (std::int64_t query = 0; query < n_queries; ++query) {
    merge(&found[static_cast<std::size_t>(query * n_parts)], n_parts, k, out.scores + query * k,
          out.indices + query * k);
  }
}

}  // namespace hamming
