#pragma once

#include <pybind11/pybind11.h>

namespace hamming::bind {

namespace py = pybind11;

void register_dispatch(py::module_& module);
void register_kernels(py::module_& module);

}  // namespace hamming::bind
