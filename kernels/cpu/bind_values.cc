// Check, quantiser and its inverse, as Python sees them.
#include <nanobind/stl/optional.h>

#include <optional>

#include "arrays.h"

namespace fcmrt::cpu {
namespace {

using Means = std::optional<In<i32>>;
using Numbers = In<std::int8_t>;

u32 check_values(const Loops& loops, const In<i32>& values, u32 salt) {
  const Unlocked unlocked;
  return loops.check(values.data(), values.shape(0), salt);
}

// What quantiser and inverse share: means, and a step for all or a map of steps, checked. Holds
// what it points to.
class Quantity {
 public:
  // `step` is an integer, or a kernels.api.StepMap: widths, number of the first, numbers.
  Quantity(const Means& means, std::size_t count, u32 mean_bits, nb::handle step)
      : how{count, means ? means->data() : nullptr, mean_bits, 1, {nullptr, &table_}} {
    require(!means || means->shape(0) == count, "means differ in length");
    require(mean_bits <= kMaxMeanBits, "mean_bits");
    if (nb::isinstance<nb::int_>(step)) {
      how.step = nb::cast<u32>(step);
      require(how.step >= 1 && how.step <= kMaxStep, "step");
    } else {
      take_map(nb::cast<nb::tuple>(step));
    }
  }
  Quantity(const Quantity&) = delete;

 private:
  void take_map(const nb::tuple& map) {
    const auto widths = nb::cast<In<u32>>(map[0], false);
    const i32 first = nb::cast<i32>(map[1]);
    numbers_ = nb::cast<Numbers>(map[2], false);
    require(numbers_.shape(0) == how.count, "step numbers differ in length");
    const u32 count = u32(widths.shape(0));
    require(count >= 1 && count <= kStepNumbers && first >= -128 && first <= 128 - i32(count),
            "step numbers have 8 bits");
    for (u32 k = 0; k < count; ++k) {
      require(widths.data()[k] >= 1 && widths.data()[k] <= kMaxStep, "widths");
    }
    fill_steps(table_, first, widths.data(), count);
    how.map.numbers = numbers_.data();
  }

  Numbers numbers_;
  StepTable table_;

 public:
  Values how;
};

// Table indexes and what is taken from them: an integer, or one for each element.
class Shifted {
 public:
  Shifted(const InAny& indexes, nb::handle shift, u32 table_count, const OutAny& clipped)
      : wide(is_wide(clipped)), how{indexes.data(), 4, 0, nullptr, table_count} {
    require(clipped.shape(0) == indexes.shape(0), "indexes differ in length");
    require(table_count >= 1 && table_count <= (wide ? kMaxTables : 256u), "table_count");
    if (indexes.dtype() != nb::dtype<i32>()) how.bytes = is_wide(indexes) ? 2 : 1;
    if (nb::isinstance<nb::int_>(shift)) {
      how.shift = nb::cast<i32>(shift);
    } else {
      shifts_ = nb::cast<Numbers>(shift, false);
      require(shifts_.shape(0) == indexes.shape(0), "shifts differ in length");
      how.shifts = shifts_.data();
    }
  }

 private:
  Numbers shifts_;

 public:
  bool wide;
  Shift how;
};

void quantize_values(const Loops& loops, const In<float>& values, const Means& means,
                     u32 mean_bits, nb::handle step, const InAny& indexes, nb::handle shift,
                     u32 table_count, u32 skip, const Out<i32>& symbols, const OutAny& clipped) {
  const std::size_t n = values.shape(0);
  require(indexes.shape(0) == n && symbols.shape(0) == n, "lengths");
  const Quantity quantity(means, n, mean_bits, step);
  const Shifted shifted(indexes, shift, table_count, clipped);
  const Unlocked unlocked;
  loops.quantize(values.data(), quantity.how, shifted.how, skip, symbols.data(), clipped.data(),
                 shifted.wide);
}

void dequantize_symbols(const Loops& loops, const In<i32>& symbols, const Means& means,
                        u32 mean_bits, nb::handle step, const Out<float>& values) {
  require(values.shape(0) == symbols.shape(0), "lengths");
  const Quantity quantity(means, symbols.shape(0), mean_bits, step);
  const Unlocked unlocked;
  loops.dequantize(symbols.data(), quantity.how, values.data());
}

void shift_all(const Loops& loops, const InAny& indexes, nb::handle shift, u32 table_count,
               const OutAny& clipped) {
  const Shifted shifted(indexes, shift, table_count, clipped);
  const Unlocked unlocked;
  loops.shift_indexes(shifted.how, indexes.shape(0), clipped.data(), shifted.wide);
}

}  // namespace

void bind_values(nb::class_<Loops>& loops) {
  loops.def("check", &check_values, nb::arg("values").noconvert(), nb::arg("salt"))
      .def("quantize", &quantize_values, nb::arg("values").noconvert(),
           nb::arg("means").noconvert().none(), nb::arg("mean_bits"), nb::arg("step"),
           nb::arg("indexes").noconvert(), nb::arg("shift"), nb::arg("table_count"),
           nb::arg("skip"), nb::arg("symbols").noconvert(), nb::arg("clipped").noconvert())
      .def("dequantize", &dequantize_symbols, nb::arg("symbols").noconvert(),
           nb::arg("means").noconvert().none(), nb::arg("mean_bits"), nb::arg("step"),
           nb::arg("values").noconvert())
      .def("shift_indexes", &shift_all, nb::arg("indexes").noconvert(), nb::arg("shift"),
           nb::arg("table_count"), nb::arg("clipped").noconvert());
}

}  // namespace fcmrt::cpu
