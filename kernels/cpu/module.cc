// fcmrt.kernels._cpu: the loops as Python sees them. Arrays come as pointer and length, the lock
// of the interpreter is released around the work, and failures are numbers (fcmrt/status.h) that
// kernels/cpu.py turns into errors. What only the launcher could get wrong raises ValueError.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>
#include <stdexcept>

#include "coder.h"
#include "fcmrt/quantize.h"

namespace nb = nanobind;

namespace fcmrt::cpu {
namespace {

template <class T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using InIndexes = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using OutIndexes = nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require(bool condition, const char* what) {
  if (!condition) throw nb::value_error(what);
}

// Whether an index array is 16-bit; refuses anything but uint8 and uint16.
template <class Array>
bool is_wide(const Array& indexes) {
  const bool wide = indexes.dtype() == nb::dtype<u16>();
  require(wide || indexes.dtype() == nb::dtype<u8>(), "indexes must be uint8 or uint16");
  return wide;
}

Indexes view(const InIndexes& indexes) {
  require(indexes.shape(0) <= 0x7FFFFFFF, "too many elements");
  return {indexes.data(), indexes.shape(0), is_wide(indexes)};
}

void require_lanes(u32 lanes) {
  require(lanes <= kMaxLanes && std::has_single_bit(lanes), "lanes");
}

// Python's handle on a prepared table set.
class Tables {
 public:
  Tables(const In<i32>& offsets, const In<i32>& sizes, const In<u16>& freqs) {
    require(offsets.shape(0) == sizes.shape(0), "offsets and sizes differ in length");
    tables_ = Prepared::make(offsets.data(), sizes.data(), offsets.shape(0), freqs.data(),
                             freqs.shape(0));
    require(tables_ != nullptr, "not a valid table set");
  }
  u32 count() const { return tables_->count(); }
  const std::shared_ptr<const Prepared>& get() const { return tables_; }

 private:
  std::shared_ptr<const Prepared> tables_;
};

// The steps' arrays, held as long as the loops run.
struct Steps {
  explicit Steps(const nb::list& list) {
    for (nb::handle item : list) {
      const auto step = nb::cast<nb::tuple>(item);
      auto symbols = nb::cast<In<i32>>(step[0], false);
      auto indexes = nb::cast<InIndexes>(step[1], false);
      require(symbols.shape(0) == indexes.shape(0), "symbols and indexes differ in length");
      views.push_back({symbols.data(), view(indexes), nb::cast<Tables&>(step[2]).get(),
                       nb::cast<u32>(step[3])});
      held.emplace_back(std::move(symbols), std::move(indexes));
    }
  }
  std::vector<Step> views;
  std::vector<std::pair<In<i32>, InIndexes>> held;
};

nb::tuple measure_steps(const Loops& loops, const nb::list& list) {
  const Steps steps(list);
  Payload payload;
  Status status;
  {
    nb::gil_scoped_release release;
    status = measure(loops, steps.views, payload);
  }
  return nb::make_tuple(int(status), payload.cost_q8, payload.largest);
}

nb::tuple encode_steps(const Loops& loops, const nb::list& list, u32 lanes, u32 segments,
                       u32 check) {
  const Steps steps(list);
  require_lanes(lanes);
  require(segments >= 1 && segments <= kMaxSegments, "segments");
  Coded coded;
  Status status;
  {
    nb::gil_scoped_release release;
    status = encode(loops, steps.views, lanes, segments, check, coded);
  }
  if (status != Status::ok) return nb::make_tuple(int(status));
  std::size_t total = 0;
  for (const auto& segment : coded.segments) total += segment.size();
  auto bytes = nb::steal<nb::bytes>(PyBytes_FromStringAndSize(nullptr, Py_ssize_t(total)));
  if (!bytes.is_valid()) throw nb::python_error();
  char* next = PyBytes_AS_STRING(bytes.ptr());
  nb::list words;
  for (const auto& segment : coded.segments) {
    next = std::copy(segment.begin(), segment.end(), next);
    words.append((segment.size() - 4 * lanes) / 2);
  }
  return nb::make_tuple(int(status), bytes, nb::tuple(words),
                        nb::bytes(coded.escapes.data(), coded.escapes.size()));
}

// Python's handle on a decoder: keeps alive the arrays that the decoder borrows, and refuses a
// second thread while one is inside.
class BoundDecoder {
 public:
  BoundDecoder(const Loops& loops, In<u8> segments, const std::vector<u32>& words, In<u8> escapes,
               u32 lanes)
      : segments_(std::move(segments)),
        escapes_(std::move(escapes)),
        decoder_((require_lanes(lanes),
                  require(!words.empty() && words.size() <= kMaxSegments, "segments"),
                  Decoder(loops, {segments_.data(), segments_.shape(0)}, words,
                          {escapes_.data(), escapes_.shape(0)}, lanes))) {}

  int status() const { return int(decoder_.status()); }

  int step(const InIndexes& indexes, const Tables& tables, u32 skip, const Out<i32>& symbols) {
    const Indexes in = view(indexes);
    require(symbols.shape(0) == in.count, "symbols and indexes differ in length");
    const auto prepared = tables.get();
    nb::gil_scoped_release release;
    const Turn turn(busy_);
    return int(decoder_.step(in, *prepared, skip, symbols.data()));
  }

  nb::tuple finish() {
    u32 check = 0;
    const Turn turn(busy_);
    const int status = int(decoder_.finish(check));
    return nb::make_tuple(status, check);
  }

 private:
  struct Turn {
    explicit Turn(std::atomic<bool>& busy) : busy_(busy) {
      if (busy_.exchange(true)) throw std::runtime_error("the decoder is in use by another thread");
    }
    ~Turn() { busy_.store(false); }
    std::atomic<bool>& busy_;
  };

  In<u8> segments_;
  In<u8> escapes_;
  Decoder decoder_;
  std::atomic<bool> busy_ = false;
};

u32 check_values(const Loops& loops, const In<i32>& values, u32 salt) {
  nb::gil_scoped_release release;
  return loops.check(values.data(), values.shape(0), salt);
}

using Means = std::optional<In<i32>>;

// What quantiser and inverse share, checked.
Values view(const Means& means, std::size_t count, u32 mean_bits, u32 step) {
  require(!means || means->shape(0) == count, "means differ in length");
  require(mean_bits <= kMaxMeanBits, "mean_bits");
  require(step >= 1 && step <= kMaxStep, "step");
  return {count, means ? means->data() : nullptr, mean_bits, step};
}

Shift view(const In<i32>& indexes, i32 shift, u32 table_count, bool wide) {
  require(table_count >= 1 && table_count <= (wide ? kMaxTables : 256u), "table_count");
  return {indexes.data(), shift, table_count};
}

void quantize_values(const Loops& loops, const In<float>& values, const Means& means,
                     u32 mean_bits, u32 step, const In<i32>& indexes, i32 shift, u32 table_count,
                     u32 skip, const Out<i32>& symbols, const OutIndexes& clipped) {
  const std::size_t n = values.shape(0);
  require(indexes.shape(0) == n && symbols.shape(0) == n && clipped.shape(0) == n, "lengths");
  const bool wide = is_wide(clipped);
  const Values how = view(means, n, mean_bits, step);
  const Shift by = view(indexes, shift, table_count, wide);
  nb::gil_scoped_release release;
  loops.quantize(values.data(), how, by, skip, symbols.data(), clipped.data(), wide);
}

void dequantize_symbols(const Loops& loops, const In<i32>& symbols, const Means& means,
                        u32 mean_bits, u32 step, const Out<float>& values) {
  require(values.shape(0) == symbols.shape(0), "lengths");
  const Values how = view(means, symbols.shape(0), mean_bits, step);
  nb::gil_scoped_release release;
  loops.dequantize(symbols.data(), how, values.data());
}

void shift_all(const Loops& loops, const In<i32>& indexes, i32 shift, u32 table_count,
               const OutIndexes& clipped) {
  require(clipped.shape(0) == indexes.shape(0), "lengths");
  const bool wide = is_wide(clipped);
  const Shift by = view(indexes, shift, table_count, wide);
  nb::gil_scoped_release release;
  loops.shift_indexes(by, indexes.shape(0), clipped.data(), wide);
}

}  // namespace
}  // namespace fcmrt::cpu

NB_MODULE(_cpu, m) {
  using namespace fcmrt::cpu;
  // Engines keep their prepared tables, and may live until the interpreter is gone.
  nb::set_leak_warnings(false);
  nb::class_<Tables>(m, "Tables")
      .def(nb::init<const In<fcmrt::i32>&, const In<fcmrt::i32>&, const In<fcmrt::u16>&>(),
           nb::arg("offsets").noconvert(), nb::arg("sizes").noconvert(),
           nb::arg("freqs").noconvert())
      .def_prop_ro("count", &Tables::count);
  nb::class_<Loops>(m, "Loops")
      .def("measure", &measure_steps, nb::arg("steps"))
      .def("encode", &encode_steps, nb::arg("steps"), nb::arg("lanes"), nb::arg("segments"),
           nb::arg("check"))
      .def("check", &check_values, nb::arg("values").noconvert(), nb::arg("salt"))
      .def("quantize", &quantize_values, nb::arg("values").noconvert(),
           nb::arg("means").noconvert().none(), nb::arg("mean_bits"), nb::arg("step"),
           nb::arg("indexes").noconvert(), nb::arg("shift"), nb::arg("table_count"),
           nb::arg("skip"), nb::arg("symbols").noconvert(), nb::arg("clipped").noconvert())
      .def("dequantize", &dequantize_symbols, nb::arg("symbols").noconvert(),
           nb::arg("means").noconvert().none(), nb::arg("mean_bits"), nb::arg("step"),
           nb::arg("values").noconvert())
      .def("shift_indexes", &shift_all, nb::arg("indexes").noconvert(), nb::arg("shift"),
           nb::arg("table_count"), nb::arg("clipped").noconvert());
  m.def("loops", &find_loops, nb::arg("name"), nb::rv_policy::reference);
  nb::class_<BoundDecoder>(m, "Decoder")
      .def(nb::init<const Loops&, In<fcmrt::u8>, const std::vector<fcmrt::u32>&, In<fcmrt::u8>,
                    fcmrt::u32>(),
           nb::arg("loops"), nb::arg("segments").noconvert(), nb::arg("words"),
           nb::arg("escapes").noconvert(), nb::arg("lanes"))
      .def_prop_ro("status", &BoundDecoder::status)
      .def("step", &BoundDecoder::step, nb::arg("indexes").noconvert(), nb::arg("tables"),
           nb::arg("skip"), nb::arg("symbols").noconvert())
      .def("finish", &BoundDecoder::finish);
}
