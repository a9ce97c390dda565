// NumPy arrays as the plain views the kernels take. Shapes and dtypes were checked in Python
// (hamming/checks.py); what is checked again here guards memory safety only.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "../hamming.hpp"

namespace hamming::bind {

namespace py = pybind11;

// As an argument it is refused, not copied, unless its dtype and layout are these: register_kernels
// takes arrays with noconvert().
template <class T>
using Array = py::array_t<T, py::array::c_style>;
using Mask = std::optional<Array<bool>>;

inline CodesView codes_view(const Array<std::uint8_t>& array) {
  if (array.ndim() != 2) throw std::invalid_argument("codes: expected a 2-d array");
  return {array.data(), array.shape(0), array.shape(1)};
}

inline void require_same_width(const CodesView& queries, const CodesView& db) {
  if (queries.n_bytes != db.n_bytes || db.n_bytes == 0) {
    throw std::invalid_argument("codes: expected queries and database of one non-zero width");
  }
}

inline const std::uint8_t* mask_view(const Mask& mask, std::int64_t n_codes) {
  if (!mask) return nullptr;
  if (mask->ndim() != 1 || mask->shape(0) != n_codes) {
    throw std::invalid_argument("mask: expected one bool per code");
  }
  return reinterpret_cast<const std::uint8_t*>(mask->data());
}

}  // namespace hamming::bind
