// NumPy arrays as the plain views the kernels take. Shapes and dtypes were checked in Python
// (hamming/checks.py); what is checked again here guards memory safety only.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "../hamming.hpp"

namespace hamming::bind {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // no forcecast: a wrong dtype is refused

inline CodesView codes_view(const Array<std::uint8_t>& array) {
  if (array.ndim() != 2) throw std::invalid_argument("codes: expected a 2-d array");
  return {array.data(), array.shape(0), array.shape(1)};
}

inline void require_same_width(const CodesView& queries, const CodesView& db) {
  if (queries.n_bytes != db.n_bytes || db.n_bytes == 0) {
    throw std::invalid_argument("codes: expected queries and database of one non-zero width");
  }
}

inline const std::uint8_t* mask_view(const py::object& mask, std::int64_t n_codes) {
  if (mask.is_none()) return nullptr;
  const auto array = mask.cast<Array<bool>>();
  if (array.ndim() != 1 || array.shape(0) != n_codes) {
    throw std::invalid_argument("mask: expected one bool per code");
  }
  return reinterpret_cast<const std::uint8_t*>(array.data());
}

}  // namespace hamming::bind
