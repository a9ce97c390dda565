#include <pybind11/stl.h>

#include <string>

#include "../cpu/dispatch.hpp"
#include "../cpu/search.hpp"
#include "register.hpp"

namespace hamming::bind {

void register_dispatch(py::module_& module) {
  py::class_<Tuning>(module, "Tuning")
      .def(py::init<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                    std::int64_t>(),
           py::kw_only(), py::arg("tile_bytes"), py::arg("buffer_extra"), py::arg("block_bytes"),
           py::arg("rows_queries"), py::arg("work_per_thread"), py::arg("sampled_k"))
      .def_readonly("tile_bytes", &Tuning::tile_bytes)
      .def_readonly("buffer_extra", &Tuning::buffer_extra)
      .def_readonly("block_bytes", &Tuning::block_bytes)
      .def_readonly("rows_queries", &Tuning::rows_queries)
      .def_readonly("work_per_thread", &Tuning::work_per_thread)
      .def_readonly("sampled_k", &Tuning::sampled_k);

  module.def(
      "isas",
      [] {
        std::vector<std::pair<std::string, bool>> names;
        for (const BackendEntry& entry : all_backends()) {
          names.emplace_back(entry.backend->name, entry.supported);
        }
        return names;
      },
      "The instruction sets of this build, best first, and whether this CPU has each.");
}

}  // namespace hamming::bind
