// Where the scan's code width becomes a compile-time constant.
#pragma once

#include <cstdint>

namespace hamming {
namespace {

// A type as a value, for callbacks that are called with one.
template <class Type>
struct Of {
  using type = Type;
};

// kWords = 0 stands for "known only at run time".
template <int kWords>
struct Words {
  static constexpr int value = kWords;
};

template <class Function>
inline void with_words(std::int64_t n_words, Function&& function) {
  switch (n_words) {
    case 1: return function(Words<1>{});
    case 2: return function(Words<2>{});
    case 3: return function(Words<3>{});
    case 4: return function(Words<4>{});
    case 6: return function(Words<6>{});
    case 8: return function(Words<8>{});
    case 12: return function(Words<12>{});
    case 16: return function(Words<16>{});
    default: return function(Words<0>{});
  }
}

}  // namespace
}  // namespace hamming
