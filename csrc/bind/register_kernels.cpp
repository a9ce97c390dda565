#include <string>

#include "../cpu/dispatch.hpp"
#include "../cpu/search.hpp"
#include "arrays.hpp"
#include "register.hpp"

namespace hamming::bind {
namespace {

Options make_options(const std::string& isa, const Tuning& tuning, int threads) {
  for (const BackendEntry& entry : all_backends()) {
    if (isa == entry.backend->name && entry.supported) return {entry.backend, tuning, threads};
  }
  throw std::invalid_argument("isa: " + isa + " is not supported by this CPU");
}

py::tuple topk_py(const std::string& isa, const Tuning& tuning, int threads,
                  const Array<std::uint8_t>& queries, const Array<std::uint8_t>& db, std::int64_t k,
                  const Mask& mask) {
  const Options options = make_options(isa, tuning, threads);
  const CodesView query_view = codes_view(queries), db_view = codes_view(db);
  require_same_width(query_view, db_view);
  if (k < 1 || k > db_view.n_codes) throw std::invalid_argument("k: expected 1..n_codes");
  const std::uint8_t* mask_data = mask_view(mask, db_view.n_codes);
  Array<std::int32_t> distances({query_view.n_codes, k});
  Array<std::int64_t> indices({query_view.n_codes, k});
  const TopkOut out{distances.mutable_data(), indices.mutable_data()};
  {
    const py::gil_scoped_release released;
    topk(options, query_view, db_view, mask_data, k, out);
  }
  return py::make_tuple(distances, indices);
}

py::tuple radius_py(const std::string& isa, const Tuning& tuning, int threads,
                    const Array<std::uint8_t>& queries, const Array<std::uint8_t>& db,
                    std::int64_t radius, const Mask& mask) {
  const Options options = make_options(isa, tuning, threads);
  const CodesView query_view = codes_view(queries), db_view = codes_view(db);
  require_same_width(query_view, db_view);
  if (radius < 0) throw std::invalid_argument("radius: expected at least 0");
  const std::uint8_t* mask_data = mask_view(mask, db_view.n_codes);
  Array<std::int64_t> offsets(query_view.n_codes + 1);
  std::int64_t* offsets_data = offsets.mutable_data();
  std::unique_ptr<RadiusSearch> search;
  {
    const py::gil_scoped_release released;
    search.reset(new RadiusSearch(options, query_view, db_view, mask_data, radius));
    search->count(offsets_data);
  }
  const std::int64_t total = offsets_data[query_view.n_codes];
  Array<std::int32_t> distances(total);
  Array<std::int64_t> indices(total);
  std::int32_t* distances_data = distances.mutable_data();
  std::int64_t* indices_data = indices.mutable_data();
  {
    const py::gil_scoped_release released;
    search->fill(distances_data, indices_data);
  }
  return py::make_tuple(offsets, distances, indices);
}

Array<std::int32_t> distance_py(const std::string& isa, const Tuning& tuning, int threads,
                                const Array<std::uint8_t>& queries, const Array<std::uint8_t>& db) {
  const Options options = make_options(isa, tuning, threads);
  const CodesView query_view = codes_view(queries), db_view = codes_view(db);
  require_same_width(query_view, db_view);
  Array<std::int32_t> out({query_view.n_codes, db_view.n_codes});
  std::int32_t* data = out.mutable_data();
  {
    const py::gil_scoped_release released;
    distance(options, query_view, db_view, data);
  }
  return out;
}

Element element_of(const py::dtype& dtype) {
  const bool is_signed = dtype.kind() == 'i';
  if (is_signed || dtype.kind() == 'u' || dtype.kind() == 'b') {
    switch (dtype.itemsize()) {
      case 1: return is_signed ? Element::kInt8 : Element::kUint8;
      case 2: return is_signed ? Element::kInt16 : Element::kUint16;
      case 4: return is_signed ? Element::kInt32 : Element::kUint32;
      case 8: return is_signed ? Element::kInt64 : Element::kUint64;
    }
  } else if (dtype.kind() == 'f' && dtype.itemsize() == 4) {
    return Element::kFloat32;
  } else if (dtype.kind() == 'f' && dtype.itemsize() == 8) {
    return Element::kFloat64;
  }
  throw std::invalid_argument("values: expected integers, float32 or float64");
}

py::tuple pack_py(const std::string& isa, const Tuning& tuning, int threads,
                  const py::array& values, const py::array& thresholds, bool big_endian_bits,
                  bool check_nan) {
  const Options options = make_options(isa, tuning, threads);
  const bool contiguous = (values.flags() & thresholds.flags() & py::array::c_style) != 0;
  if (values.ndim() != 2 || thresholds.ndim() != 1 || !contiguous ||
      thresholds.shape(0) != values.shape(1) || !values.dtype().equal(thresholds.dtype())) {
    throw std::invalid_argument("values: expected (n, n_bits) and (n_bits,) of one dtype");
  }
  const std::int64_t n_rows = values.shape(0), n_bits = values.shape(1);
  Array<std::uint8_t> out({n_rows, (n_bits + 7) / 8});
  const PackArgs args{values.data(), thresholds.data(), element_of(values.dtype()),
                      n_bits,        big_endian_bits,   check_nan};
  std::uint8_t* data = out.mutable_data();
  std::int64_t nan_row = -1;
  {
    const py::gil_scoped_release released;
    nan_row = pack(options, args, n_rows, data);
  }
  return py::make_tuple(out, nan_row);
}

py::tuple rescore_py(const std::string& isa, const Tuning& tuning, int threads,
                     const Array<float>& queries, const Array<std::uint8_t>& db,
                     const Array<std::int64_t>& candidates, std::int64_t k, bool big_endian_bits) {
  const Options options = make_options(isa, tuning, threads);
  const CodesView db_view = codes_view(db);
  if (queries.ndim() != 2 || candidates.ndim() != 2 || queries.shape(0) != candidates.shape(0) ||
      queries.shape(1) != 8 * db_view.n_bytes) {
    throw std::invalid_argument("queries: expected (n_queries, 8 * n_bytes)");
  }
  const std::int64_t n_queries = queries.shape(0), n_candidates = candidates.shape(1);
  if (k < 1 || k > n_candidates) throw std::invalid_argument("k: expected 1..n_candidates");
  Array<float> scores({n_queries, k});
  Array<std::int64_t> indices({n_queries, k});
  const RescoreArgs args{db_view, queries.data(), candidates.data(), n_candidates, big_endian_bits};
  const RescoreOut out{scores.mutable_data(), indices.mutable_data()};
  {
    const py::gil_scoped_release released;
    rescore(options, args, n_queries, k, out);
  }
  return py::make_tuple(scores, indices);
}

}  // namespace

void register_kernels(py::module_& module) {
  const py::arg isa("isa"), tuning("tuning"), threads("threads");
  // Nothing is converted: a copy costs memory, and hides a wrong dtype.
  const auto array = [](const char* name) { return py::arg(name).noconvert(); };
  const py::arg query_codes = array("query_codes"), db_codes = array("db_codes"),
                mask = array("mask");
  module.def("topk", topk_py, isa, tuning, threads, query_codes, db_codes, py::arg("k"), mask);
  module.def("radius_search", radius_py, isa, tuning, threads, query_codes, db_codes,
             py::arg("radius"), mask);
  module.def("distance", distance_py, isa, tuning, threads, query_codes, db_codes);
  module.def("pack", pack_py, isa, tuning, threads, array("values"), array("thresholds"),
             py::arg("big_endian_bits"), py::arg("check_nan"));
  module.def("rescore", rescore_py, isa, tuning, threads, array("queries"), db_codes,
             array("candidates"), py::arg("k"), py::arg("big_endian_bits"));
}

}  // namespace hamming::bind
