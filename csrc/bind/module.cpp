#include "register.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native kernels of hamming; use the functions of the hamming package instead.";
  hamming::bind::register_dispatch(module);
  hamming::bind::register_kernels(module);
}
