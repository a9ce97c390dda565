// The searches on every backend against the oracle.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cpu/dispatch.hpp"
#include "oracle.hpp"
#include "problem.hpp"

namespace {

using namespace hamming;
using oracle::Ranked;

std::vector<const Backend*> backends() {
  std::vector<const Backend*> found;
  for (const BackendEntry& entry : all_backends()) {
    if (entry.supported) found.push_back(entry.backend);
  }
  return found;
}

std::size_t sized(std::int64_t count) { return static_cast<std::size_t>(count); }

std::string differs(const Backend* backend, std::int64_t query, std::int64_t place,
                    const Ranked& expected, const Ranked& got) {
  const auto spelled = [](const Ranked& one) {
    return "(" + std::to_string(one.distance) + ", " + std::to_string(one.index) + ")";
  };
  return std::string(backend->name) + ": query " + std::to_string(query) + ", place " +
         std::to_string(place) + ": expected " + spelled(expected) + ", got " + spelled(got);
}

// Compares one query's results, which begin at `begin` of the arrays.
std::string compare(const Backend* backend, std::int64_t query, const std::vector<Ranked>& expected,
                    const std::vector<std::int32_t>& distances,
                    const std::vector<std::int64_t>& indices, std::int64_t begin) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Ranked got{distances[sized(begin) + i], indices[sized(begin) + i]};
    if (!(got == expected[i])) {
      return differs(backend, query, static_cast<std::int64_t>(i), expected[i], got);
    }
  }
  return "";
}

std::vector<std::vector<Ranked>> ranked_queries(const Problem& problem) {
  std::vector<std::vector<Ranked>> all;
  for (std::int64_t q = 0; q < problem.n_queries; ++q) {
    all.push_back(
        oracle::ranked(problem.queries().data + q * problem.n_bytes, problem.db(), problem.mask()));
  }
  return all;
}

std::string check_topk(const Problem& problem) {
  const std::vector<std::vector<Ranked>> all = ranked_queries(problem);
  for (const Backend* backend : backends()) {
    std::vector<std::int32_t> distances(sized(problem.n_queries * problem.k), -7);
    std::vector<std::int64_t> indices(distances.size(), -7);
    topk(problem.options(backend), problem.queries(), problem.db(), problem.mask(), problem.k,
         {distances.data(), indices.data()});
    for (std::int64_t q = 0; q < problem.n_queries; ++q) {
      const std::string wrong = compare(backend, q, oracle::topk(all[sized(q)], problem.k),
                                        distances, indices, q * problem.k);
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

std::string check_radius(const Problem& problem) {
  const std::vector<std::vector<Ranked>> all = ranked_queries(problem);
  for (const Backend* backend : backends()) {
    RadiusSearch search(problem.options(backend), problem.queries(), problem.db(), problem.mask(),
                        problem.radius);
    std::vector<std::int64_t> offsets(sized(problem.n_queries + 1), -7);
    search.count(offsets.data());
    std::int64_t total = 0;
    for (std::int64_t q = 0; q <= problem.n_queries; ++q) {
      if (offsets[sized(q)] != total) {
        return std::string(backend->name) + ": offset " + std::to_string(q) + ": expected " +
               std::to_string(total) + ", got " + std::to_string(offsets[sized(q)]);
      }
      if (q == problem.n_queries) break;
      total += static_cast<std::int64_t>(oracle::within(all[sized(q)], problem.radius).size());
    }
    std::vector<std::int32_t> distances(sized(total), -7);
    std::vector<std::int64_t> indices(sized(total), -7);
    search.fill(distances.data(), indices.data());
    for (std::int64_t q = 0; q < problem.n_queries; ++q) {
      const std::string wrong = compare(backend, q, oracle::within(all[sized(q)], problem.radius),
                                        distances, indices, offsets[sized(q)]);
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

std::string check_distance(const Problem& problem) {
  const CodesView queries = problem.queries(), db = problem.db();
  for (const Backend* backend : backends()) {
    std::vector<std::int32_t> out(sized(problem.n_queries * problem.n_codes), -7);
    distance(problem.options(backend), queries, db, out.data());
    for (std::size_t at = 0; at < out.size(); ++at) {
      const auto pair = static_cast<std::int64_t>(at);
      const std::int64_t q = pair / db.n_codes, i = pair % db.n_codes;
      const std::int32_t expected = oracle::distance(queries.data + q * queries.n_bytes,
                                                     db.data + i * db.n_bytes, db.n_bytes);
      if (out[at] != expected) return differs(backend, q, i, {expected, i}, {out[at], i});
    }
  }
  return "";
}

template <class Value>
std::string check_pack_of(const Problem& problem) {
  const std::int64_t n_rows = problem.n_queries, n_bits = problem.n_bits;
  const auto value_at = [&](std::int64_t i) {
    Value value;
    const std::size_t room = problem.raw.size() - sizeof value + 1;
    std::memcpy(&value, problem.raw.data() + sized(i) * 3 % room, sizeof value);
    return value;
  };
  std::vector<Value> values, thresholds;
  for (std::int64_t i = 0; i < n_rows * n_bits; ++i) values.push_back(value_at(i));
  for (std::int64_t i = 0; i < n_bits; ++i) thresholds.push_back(value_at(7 * i + 1));

  std::int64_t first_nan = -1;
  std::vector<std::uint8_t> expected;
  for (std::int64_t row = 0; row < n_rows; ++row) {
    std::vector<bool> above;
    for (std::int64_t i = 0; i < n_bits; ++i) {
      const Value value = values[sized(row * n_bits + i)];
      above.push_back(value > thresholds[sized(i)]);
      if (problem.check_nan && value != value && first_nan < 0) first_nan = row;
    }
    const std::vector<std::uint8_t> bytes = oracle::packed(above, problem.big_endian_bits);
    expected.insert(expected.end(), bytes.begin(), bytes.end());
  }
  const PackArgs args{values.data(), thresholds.data(),       problem.element,
                      n_bits,        problem.big_endian_bits, problem.check_nan};
  for (const Backend* backend : backends()) {
    std::vector<std::uint8_t> out(expected.size(), 0xa5);
    const std::int64_t nan_row = pack(problem.options(backend), args, n_rows, out.data());
    if (nan_row != first_nan) {
      return std::string(backend->name) + ": NaN row: expected " + std::to_string(first_nan) +
             ", got " + std::to_string(nan_row);
    }
    if (first_nan < 0 && out != expected)
      return std::string(backend->name) + ": packed bytes differ";
  }
  return "";
}

std::string check_pack(const Problem& problem) {
  switch (problem.element) {
    case Element::kUint8: return check_pack_of<std::uint8_t>(problem);
    case Element::kInt8: return check_pack_of<std::int8_t>(problem);
    case Element::kUint16: return check_pack_of<std::uint16_t>(problem);
    case Element::kInt16: return check_pack_of<std::int16_t>(problem);
    case Element::kUint32: return check_pack_of<std::uint32_t>(problem);
    case Element::kInt32: return check_pack_of<std::int32_t>(problem);
    case Element::kUint64: return check_pack_of<std::uint64_t>(problem);
    case Element::kInt64: return check_pack_of<std::int64_t>(problem);
    case Element::kFloat32: return check_pack_of<float>(problem);
    case Element::kFloat64: return check_pack_of<double>(problem);
  }
  return "unknown element";
}

struct Rescored {
  std::vector<float> scores;
  std::vector<std::int64_t> indices;
};

Rescored rescored(const Problem& problem, const Backend* backend, const RescoreArgs& args,
                  std::int64_t k) {
  Rescored found{std::vector<float>(sized(problem.n_queries * k), -7),
                 std::vector<std::int64_t>(sized(problem.n_queries * k), -7)};
  rescore(problem.options(backend), args, problem.n_queries, k,
          {found.scores.data(), found.indices.data()});
  return found;
}

// All candidates of query q are there, with the oracle's scores, in order.
std::string check_order(const RescoreArgs& args, const Rescored& all, std::int64_t q) {
  const std::int64_t n_bits = 8 * args.db.n_bytes, n = args.n_candidates;
  const float* query = args.queries + q * n_bits;
  double bound = 0;
  for (std::int64_t i = 0; i < n_bits; ++i) bound += 1e-5 * std::fabs(query[i]);
  std::vector<std::int64_t> given(args.indices + q * n, args.indices + (q + 1) * n), got;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::size_t at = sized(q * n + i);
    const std::int64_t index = all.indices[at];
    got.push_back(index);
    if (index < -1 || index >= args.db.n_codes) return "index " + std::to_string(index);
    double expected = -std::numeric_limits<double>::infinity();
    if (index >= 0) {
      expected = oracle::score(query, args.db.data + index * args.db.n_bytes, n_bits,
                               args.big_endian_bits);
    }
    const auto score = static_cast<double>(all.scores[at]);
    if (score != expected && !(std::fabs(score - expected) <= bound)) {
      return "score " + std::to_string(i) + ": expected " + std::to_string(expected) + ", got " +
             std::to_string(score);
    }
    const bool ordered = i == 0 || all.scores[at - 1] > all.scores[at] ||
                         (all.scores[at - 1] == all.scores[at] && all.indices[at - 1] <= index);
    if (!ordered) return "rank " + std::to_string(i) + ": out of order";
  }
  std::sort(given.begin(), given.end());
  std::sort(got.begin(), got.end());
  return given == got ? "" : "other candidates than were given";
}

std::string check_rescore(const Problem& problem) {
  const std::int64_t n_bits = 8 * problem.n_bytes, n_candidates = problem.n_candidates;
  const auto byte_at = [&](std::int64_t i) { return problem.raw[sized(i) % problem.raw.size()]; };
  std::vector<float> queries;
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < problem.n_queries * n_bits; ++i) {
    const auto step = static_cast<float>(byte_at(5 * i) - 128);
    queries.push_back(step * (byte_at(i) % 16 == 0 ? 1e4f : 1e-3f));
  }
  for (std::int64_t i = 0; i < problem.n_queries * n_candidates; ++i) {
    const std::int64_t pick = byte_at(i) + 256 * byte_at(i + 1);
    indices.push_back(pick % (problem.n_codes + 1) - 1);
  }
  const RescoreArgs args{problem.db(), queries.data(), indices.data(), n_candidates,
                         problem.big_endian_bits};
  Rescored first;
  for (const Backend* backend : backends()) {
    const std::string name = backend->name;
    const Rescored all = rescored(problem, backend, args, n_candidates);
    for (std::int64_t q = 0; q < problem.n_queries; ++q) {
      const std::string wrong = check_order(args, all, q);
      if (!wrong.empty()) return name + ": query " + std::to_string(q) + ": " + wrong;
    }
    if (first.scores.empty()) first = all;
    if (first.scores != all.scores || first.indices != all.indices) {
      return name + ": scores differ between backends";
    }
    const std::int64_t k = (n_candidates + 2) / 3;
    const Rescored best = rescored(problem, backend, args, k);
    for (std::int64_t at = 0; at < problem.n_queries * k; ++at) {
      const std::size_t among_all = sized(at / k * n_candidates + at % k);
      if (best.scores[sized(at)] != all.scores[among_all] ||
          best.indices[sized(at)] != all.indices[among_all]) {
        return name + ": the best " + std::to_string(k) + " differ from the first of all";
      }
    }
  }
  return "";
}

}  // namespace

std::string check(const Problem& problem) {
  switch (problem.function) {
    case Function::kTopk: return check_topk(problem);
    case Function::kRadius: return check_radius(problem);
    case Function::kDistance: return check_distance(problem);
    case Function::kPack: return check_pack(problem);
    case Function::kRescore: return check_rescore(problem);
  }
  return "unknown function";
}
