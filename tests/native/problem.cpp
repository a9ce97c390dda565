#include "problem.hpp"

#include <algorithm>

namespace {

using Bytes = std::vector<std::uint8_t>;

// Takes numbers off the front of the input; zeros when it has run out.
class Reader {
 public:
  Reader(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::int64_t pair() {
    const int low = byte();
    return low + 256 * byte();
  }
  std::int64_t upto(std::int64_t least, std::int64_t most) {
    return least + pair() % (most - least + 1);
  }
  bool flag() { return byte() % 2 == 1; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[byte() % choices.size()];
  }
  Bytes rest() const { return Bytes(data_, data_ + left_); }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
  std::uint8_t byte() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint8_t>(state_ >> 56);
  }
  std::int64_t below(std::int64_t limit) {
    const int low = byte();
    return (low + 256 * byte()) % limit;
  }

 private:
  std::uint64_t state_;
};

Bytes repeated(const Bytes& pattern, std::int64_t size) {
  Bytes bytes(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < bytes.size() && !pattern.empty(); ++i) {
    bytes[i] = pattern[i % pattern.size()];
  }
  return bytes;
}

enum Order { kRandom, kSparse, kEqual, kFew, kDescending, kAscending, kNear, kRaw, kOrders };

// Rows whose distances to the row of zeros are in the given order.
Bytes make_codes(Order order, std::int64_t n_codes, std::int64_t n_bytes, Random& random,
                 const Bytes& raw) {
  const std::int64_t size = n_codes * n_bytes;
  if (order == kRaw) return repeated(raw, size);
  Bytes bytes(static_cast<std::size_t>(size));
  for (std::uint8_t& byte : bytes) {
    byte = random.byte();
    if (order == kSparse) byte &= random.byte() & random.byte();
    if (order == kDescending || order == kAscending || order == kNear) byte = 0;
  }
  for (std::int64_t i = 0; i < n_codes; ++i) {
    std::uint8_t* row = bytes.data() + i * n_bytes;
    if (order == kEqual || order == kFew) {
      const std::int64_t from = order == kEqual ? 0 : std::min<std::int64_t>(i, random.below(3));
      std::copy_n(bytes.data() + from * n_bytes, n_bytes, row);
    }
    std::int64_t ones = 0;
    if (order == kNear) ones = random.below(3);
    if (order == kAscending) ones = 8 * n_bytes * i / n_codes;
    if (order == kDescending) ones = 8 * n_bytes * (n_codes - i) / n_codes;
    for (std::int64_t bit = 0; bit < ones; ++bit) {
      row[bit / 8] = static_cast<std::uint8_t>(row[bit / 8] | 1 << (bit % 8));
    }
  }
  return bytes;
}

Bytes make_mask(int density, std::int64_t n_codes, Random& random) {
  Bytes mask(static_cast<std::size_t>(n_codes));
  for (std::uint8_t& byte : mask) {
    switch (density) {
      case 0: byte = 0; break;
      case 1: byte = 1; break;
      case 2: byte = random.byte() % 2; break;
      case 3: byte = random.below(100) == 0; break;
      default: byte = random.byte() & random.byte() & random.byte(); break;  // any non-zero byte
    }
  }
  return mask;
}

std::unique_ptr<GuardedBytes> guarded(const Bytes& bytes, std::int64_t slack) {
  return std::make_unique<GuardedBytes>(bytes, static_cast<std::size_t>(slack));
}

}  // namespace

// The corpus depends on the order of these lines.
Problem::Problem(const std::uint8_t* data, std::size_t size) {
  Reader in(data, size);
  function =
      in.one_of({Function::kTopk, Function::kTopk, Function::kTopk, Function::kRadius,
                 Function::kRadius, Function::kDistance, Function::kPack, Function::kRescore});
  n_bytes = in.one_of<std::int64_t>({0, 0, 0, 1, 2, 4, 8, 16, 24, 32, 64, 96, 128, 256});
  if (n_bytes == 0) n_bytes = in.upto(1, 300);
  n_queries = in.one_of<std::int64_t>({1, 1, 2, 3, 0, 5, 9, 33});
  // The oracle takes a microsecond for some hundred bytes.
  const std::int64_t most = std::max<std::int64_t>(
      70, std::min<std::int64_t>(3000, 150000 / (n_bytes * std::max<std::int64_t>(1, n_queries))));
  n_codes = in.upto(function == Function::kTopk ? 1 : 0, most);
  k = in.flag() ? in.upto(1, 12) : in.upto(1, 3000);
  k = std::min(k, std::max<std::int64_t>(1, n_codes));
  radius = in.one_of<std::int64_t>({in.byte(), in.byte() * n_bytes / 32, 8 * n_bytes, 1 << 20});

  tuning.tile_bytes = in.one_of<std::int64_t>({16384, 1, in.pair()});
  tuning.buffer_extra = in.one_of<std::int64_t>({0, 1, in.byte()});
  tuning.block_bytes = in.one_of<std::int64_t>({1 << 26, 1, in.pair()});
  tuning.rows_queries = in.one_of<std::int64_t>({2, 0, std::int64_t{1} << 31});
  tuning.work_per_thread = in.one_of<std::int64_t>({1000000, 1, in.pair()});
  tuning.sampled_k = tuning.buffer_extra == 0 ? 64 : 1;  // no draw: the corpus has none for it
  threads = in.one_of({1, 2, 3, 7});

  // Reads past the last row meet the guard unless the slack moves the rows to other addresses.
  const std::int64_t slack = in.one_of<std::int64_t>({0, 0, 0, in.byte() % 64});
  masked = in.flag();
  const int density = in.byte() % 5;
  const auto order = static_cast<Order>(in.byte() % kOrders);
  const auto query_order = in.one_of({kRandom, kEqual, kSparse, kNear, kRaw});
  big_endian_bits = in.flag();
  check_nan = in.flag();
  element = static_cast<hamming::Element>(in.byte() % 10);
  n_bits = in.flag() ? in.upto(1, 24) : in.upto(1, 700);
  n_candidates = in.byte() % 40;
  Random random(static_cast<std::uint64_t>(in.pair()));
  raw = in.rest();

  db_bytes = guarded(make_codes(order, n_codes, n_bytes, random, raw), slack);
  query_bytes = guarded(make_codes(query_order, n_queries, n_bytes, random, raw), slack);
  mask_bytes = guarded(make_mask(density, n_codes, random), slack);
  while (raw.size() < 64) raw.push_back(random.byte());
}

std::string Problem::describe() const {
  const char* names[] = {"topk", "radius", "distance", "pack", "rescore"};
  std::string text = names[static_cast<int>(function)];
  const auto say = [&](const char* name, std::int64_t value) {
    text += std::string(" ") + name + "=" + std::to_string(value);
  };
  say("n_bytes", n_bytes);
  say("n_codes", n_codes);
  say("n_queries", n_queries);
  say("k", k);
  say("radius", radius);
  say("masked", masked);
  say("tile_bytes", tuning.tile_bytes);
  say("buffer_extra", tuning.buffer_extra);
  say("block_bytes", tuning.block_bytes);
  say("rows_queries", tuning.rows_queries);
  say("work_per_thread", tuning.work_per_thread);
  say("sampled_k", tuning.sampled_k);
  say("threads", threads);
  say("element", static_cast<int>(element));
  say("n_bits", n_bits);
  say("n_candidates", n_candidates);
  say("big_endian_bits", big_endian_bits);
  say("check_nan", check_nan);
  return text;
}
