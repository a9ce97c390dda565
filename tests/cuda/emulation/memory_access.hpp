// Loads and stores with hints, which here check their addresses, and atomics, where a shuffled
// schedule may let another thread come in between.
#pragma once

#include "runtime.hpp"

#define EMULATED_LOAD(name)                               \
  template <class T>                                      \
  inline T name(const T* address) {                       \
    static_assert(sizeof(T) <= 16, "no load is wider");   \
    emulated::check_alignment(#name, address, sizeof(T)); \
    return *address;                                      \
  }
#define EMULATED_STORE(name)                              \
  template <class T>                                      \
  inline void name(T* address, T value) {                 \
    static_assert(sizeof(T) <= 16, "no store is wider");  \
    emulated::check_alignment(#name, address, sizeof(T)); \
    *address = value;                                     \
  }
EMULATED_LOAD(__ldg)
EMULATED_LOAD(__ldca)
EMULATED_LOAD(__ldcg)
EMULATED_LOAD(__ldcs)
EMULATED_LOAD(__ldlu)
EMULATED_LOAD(__ldcv)
EMULATED_STORE(__stwb)
EMULATED_STORE(__stcg)
EMULATED_STORE(__stcs)
EMULATED_STORE(__stwt)
#undef EMULATED_LOAD
#undef EMULATED_STORE

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

#define EMULATED_ATOMIC(name, type, result)                  \
  inline type name(type* address, type value) {              \
    emulated::interleave();                                  \
    emulated::check_alignment(#name, address, sizeof(type)); \
    const type before = *address;                            \
    *address = result;                                       \
    emulated::interleave();                                  \
    return before;                                           \
  }
#define EMULATED_ATOMICS(type)                                        \
  EMULATED_ATOMIC(atomicAdd, type, static_cast<type>(before + value)) \
  EMULATED_ATOMIC(atomicMin, type, value < before ? value : before)   \
  EMULATED_ATOMIC(atomicMax, type, before < value ? value : before)   \
  EMULATED_ATOMIC(atomicOr, type, before | value)                     \
  EMULATED_ATOMIC(atomicAnd, type, before& value)                     \
  EMULATED_ATOMIC(atomicXor, type, before ^ value)                    \
  EMULATED_ATOMIC(atomicExch, type, value)                            \
  inline type atomicCAS(type* address, type compare, type value) {    \
    emulated::interleave();                                           \
    emulated::check_alignment("atomicCAS", address, sizeof(type));    \
    const type before = *address;                                     \
    if (before == compare) *address = value;                          \
    emulated::interleave();                                           \
    return before;                                                    \
  }
EMULATED_ATOMICS(int)
EMULATED_ATOMICS(unsigned)
EMULATED_ATOMICS(unsigned long long)
EMULATED_ATOMIC(atomicAdd, float, before + value)
inline unsigned atomicSub(unsigned* address, unsigned value) { return atomicAdd(address, -value); }
inline int atomicSub(int* address, int value) { return atomicAdd(address, -value); }
#undef EMULATED_ATOMICS
#undef EMULATED_ATOMIC
