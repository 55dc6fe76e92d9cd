// Tables, encoder and decoder, as Python sees them.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include <atomic>
#include <bit>
#include <optional>
#include <stdexcept>

#include "arrays.h"
#include "coder.h"

namespace fcmrt::cpu {
namespace {

Indexes view(const InAny& indexes) {
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
      auto symbols = nb::cast<InAny>(step[0], false);
      auto indexes = nb::cast<InAny>(step[1], false);
      require(symbols.shape(0) == indexes.shape(0), "symbols and indexes differ in length");
      views.push_back({{symbols.data(), signed_bytes(symbols)},
                       view(indexes),
                       nb::cast<Tables&>(step[2]).get(),
                       nb::cast<u32>(step[3])});
      held.emplace_back(std::move(symbols), std::move(indexes));
    }
  }
  std::vector<Step> views;
  std::vector<std::pair<InAny, InAny>> held;
};

nb::tuple measure_steps(const Loops& loops, const nb::list& list, u32 threads) {
  const Steps steps(list);
  Payload payload;
  Status status;
  {
    const Unlocked unlocked;
    status = Encoder({loops, threads}, steps.views).measure(payload);
  }
  return nb::make_tuple(int(status), payload.cost_q8, payload.largest);
}

nb::bytes make_bytes(std::size_t size) {
  auto bytes = nb::steal<nb::bytes>(PyBytes_FromStringAndSize(nullptr, Py_ssize_t(size)));
  if (!bytes.is_valid()) throw nb::python_error();
  return bytes;
}

using Buffer = std::optional<Out<u8>>;

// What was encoded, as (status, lanes, words of each segment, segments, escapes). With a buffer, the
// last two are lengths, and both lie in it one after the other; if it is too small, nothing is written
// to it.
nb::tuple hand_over(const Encoder& encoder, u32 lanes, const Buffer& out) {
  const std::size_t size = encoder.segment_bytes();
  const auto escapes = encoder.escapes();
  nb::list counts;
  for (u32 s = 0; s < encoder.segments(); ++s) counts.append(encoder.words(s));
  const nb::tuple words(counts);
  const int ok = int(Status::ok);
  if (out) {
    if (out->shape(0) >= size + escapes.size()) {
      encoder.copy_segments(out->data());
      std::copy(escapes.begin(), escapes.end(), out->data() + size);
    }
    return nb::make_tuple(ok, lanes, words, size, escapes.size());
  }
  const nb::bytes segments = make_bytes(size);
  encoder.copy_segments(reinterpret_cast<u8*>(PyBytes_AS_STRING(segments.ptr())));
  return nb::make_tuple(ok, lanes, words, segments, nb::bytes(escapes.data(), escapes.size()));
}

nb::tuple encode_steps(const Loops& loops, const nb::list& list, u32 lanes, u32 segments,
                       u32 check, u32 threads, const Buffer& out) {
  const Steps steps(list);
  require_lanes(lanes);
  require(segments >= 1 && segments <= kMaxSegments, "segments");
  Encoder encoder({loops, threads}, steps.views);
  Status status;
  {
    const Unlocked unlocked;
    status = encoder.encode({lanes, segments}, check);
  }
  return status == Status::ok ? hand_over(encoder, lanes, out) : nb::make_tuple(int(status));
}

nb::tuple pack_steps(const Loops& loops, const nb::list& list, u32 overhead_permille,
                     u32 min_lanes, u32 check, u32 threads, const Buffer& out) {
  const Steps steps(list);
  require_lanes(min_lanes);
  Encoder encoder({loops, threads}, steps.views);
  Layout layout{};
  Status status;
  {
    const Unlocked unlocked;
    Payload payload;
    status = encoder.measure(payload);
    if (status == Status::ok) {
      layout = choose_layout(payload, overhead_permille, min_lanes);
      status = encoder.encode(layout, check);
    }
  }
  return status == Status::ok ? hand_over(encoder, layout.lanes, out)
                              : nb::make_tuple(int(status));
}

// Python's handle on a decoder: keeps alive the arrays that the decoder borrows, and refuses a
// second thread while one is inside.
class BoundDecoder {
 public:
  BoundDecoder(const Loops& loops, In<u8> segments, const std::vector<u32>& words, In<u8> escapes,
               u32 lanes, u32 threads)
      : segments_(std::move(segments)),
        escapes_(std::move(escapes)),
        decoder_((require_lanes(lanes),
                  require(!words.empty() && words.size() <= kMaxSegments, "segments"),
                  Decoder({loops, threads}, {segments_.data(), segments_.shape(0)}, words,
                          {escapes_.data(), escapes_.shape(0)}, lanes))) {}

  int status() const { return int(decoder_.status()); }

  int step(const InAny& indexes, const Tables& tables, u32 skip, const OutAny& symbols) {
    const Indexes in = view(indexes);
    require(symbols.shape(0) == in.count, "symbols and indexes differ in length");
    const OutSymbols out = {symbols.data(), signed_bytes(symbols)};
    const auto prepared = tables.get();
    const Unlocked unlocked;
    const Turn turn(busy_);
    return int(decoder_.step(in, *prepared, skip, out));
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

}  // namespace

void bind_coder(nb::module_& m, nb::class_<Loops>& loops) {
  nb::class_<Tables>(m, "Tables")
      .def(nb::init<const In<i32>&, const In<i32>&, const In<u16>&>(),
           nb::arg("offsets").noconvert(), nb::arg("sizes").noconvert(),
           nb::arg("freqs").noconvert())
      .def_prop_ro("count", &Tables::count);
  loops.def("measure", &measure_steps, nb::arg("steps"), nb::arg("threads"))
      .def("encode", &encode_steps, nb::arg("steps"), nb::arg("lanes"), nb::arg("segments"),
           nb::arg("check"), nb::arg("threads"), nb::arg("out").noconvert().none())
      .def("pack", &pack_steps, nb::arg("steps"), nb::arg("overhead_permille"),
           nb::arg("min_lanes"), nb::arg("check"), nb::arg("threads"),
           nb::arg("out").noconvert().none());
  nb::class_<BoundDecoder>(m, "Decoder")
      .def(nb::init<const Loops&, In<u8>, const std::vector<u32>&, In<u8>, u32, u32>(),
           nb::arg("loops"), nb::arg("segments").noconvert(), nb::arg("words"),
           nb::arg("escapes").noconvert(), nb::arg("lanes"), nb::arg("threads"))
      .def_prop_ro("status", &BoundDecoder::status)
      .def("step", &BoundDecoder::step, nb::arg("indexes").noconvert(), nb::arg("tables"),
           nb::arg("skip"), nb::arg("symbols").noconvert())
      .def("finish", &BoundDecoder::finish);
}

}  // namespace fcmrt::cpu
