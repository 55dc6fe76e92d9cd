// The range coder that CompressAI's models are given: its interface and its bytes, written anew, for
// machines where CompressAI is not installed.
//
// One rANS state of 64 bits and words of 32, probabilities in units of 2^-16. What lies outside of
// its table is coded as the table's last event, and then a number in groups of four bits: how many
// groups there are, in groups of which 15 means that more follow, and the groups themselves.
//
// Lists are read and made by Python's own functions, since pybind11's conversion takes longer than
// the coding does.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace py = pybind11;

using Ints = std::vector<int32_t>;

constexpr uint64_t kLeast = uint64_t{1} << 31;
constexpr int kTableBits = 16;
constexpr int kGroupBits = 4;
constexpr int kMostInGroup = (1 << kGroupBits) - 1;

struct Event {
  uint32_t width;  // the probability is width / 2^bits
  uint16_t begin;
  uint16_t bits;
};

uint32_t zigzag(int32_t value, int32_t most) {
  return value < 0 ? -2 * value - 1 : 2 * (value - most);
}

Ints ints(py::handle given) {
  const auto list = py::reinterpret_steal<py::object>(PySequence_Fast(given.ptr(), "not a list"));
  if (!list) throw py::error_already_set();
  const size_t count = PySequence_Fast_GET_SIZE(list.ptr());
  PyObject** items = PySequence_Fast_ITEMS(list.ptr());
  Ints found(count);
  for (size_t i = 0; i < count; ++i) {
    const long value = PyLong_AsLong(items[i]);
    if (value == -1 && PyErr_Occurred()) throw py::error_already_set();
    found[i] = int32_t(value);
  }
  return found;
}

py::list list_of(const Ints& values) {
  py::list made(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    PyObject* value = PyLong_FromLong(values[i]);
    if (value == nullptr) throw py::error_already_set();
    PyList_SET_ITEM(made.ptr(), Py_ssize_t(i), value);
  }
  return made;
}

// Distributions side by side, each with the entries that its size tells.
class Tables {
 public:
  struct Table {
    const int32_t* cdf;
    int32_t most;  // number of the last event, which is the escape
    int32_t offset;
  };

  Tables(const py::list& cdfs, const py::list& sizes, const py::list& offsets) {
    const Ints counts = ints(sizes), begins = ints(offsets);
    const size_t count = std::min({size_t(cdfs.size()), counts.size(), begins.size()});
    std::vector<size_t> places(count);
    for (size_t t = 0; t < count; ++t) {
      const Ints cdf = ints(cdfs[t]);
      if (counts[t] < 2 || size_t(counts[t]) > cdf.size()) throw std::out_of_range("a size is off");
      places[t] = entries_.size();
      entries_.insert(entries_.end(), cdf.begin(), cdf.begin() + counts[t]);
    }
    for (size_t t = 0; t < count; ++t)
      tables_.push_back({entries_.data() + places[t], counts[t] - 2, begins[t]});
  }

  const Table& operator[](int32_t index) const {
    if (uint32_t(index) >= tables_.size()) throw std::out_of_range("there is no such table");
    return tables_[uint32_t(index)];
  }

 private:
  Ints entries_;
  std::vector<Table> tables_;
};

class BufferedEncoder {
 public:
  void add(const py::list& given_symbols, const py::list& given_indexes, const py::list& cdfs,
           const py::list& sizes, const py::list& offsets) {
    const Ints symbols = ints(given_symbols), indexes = ints(given_indexes);
    const Tables tables(cdfs, sizes, offsets);
    if (symbols.size() != indexes.size()) throw std::invalid_argument("other numbers of indexes");
    events_.reserve(events_.size() + symbols.size());
    for (size_t i = 0; i < symbols.size(); ++i) {
      const Tables::Table& table = tables[indexes[i]];
      const int32_t value = symbols[i] - table.offset;
      const int32_t event = value < 0 || value >= table.most ? table.most : value;
      const uint32_t begin = table.cdf[event];
      events_.push_back({uint32_t(table.cdf[event + 1]) - begin, uint16_t(begin), kTableBits});
      if (event == table.most) add_escape(zigzag(value, table.most));
    }
  }

  py::bytes flush() {
    std::vector<uint32_t> words;  // the last one first
    words.reserve(events_.size() / 2 + 2);
    uint64_t state = kLeast;
    for (auto event = events_.rbegin(); event != events_.rend(); ++event) {
      const uint64_t limit = (kLeast >> event->bits << 32) * event->width;
      if (state >= limit) {
        words.push_back(uint32_t(state));
        state >>= 32;
      }
      state = (state / event->width << event->bits) + state % event->width + event->begin;
    }
    events_.clear();
    words.push_back(uint32_t(state >> 32));
    words.push_back(uint32_t(state));
    std::reverse(words.begin(), words.end());
    return py::bytes(reinterpret_cast<const char*>(words.data()), 4 * words.size());
  }

 private:
  void add_group(uint32_t group) { events_.push_back({1, uint16_t(group), kGroupBits}); }

  void add_escape(uint32_t number) {
    int groups = 0;
    while (groups < 8 && number >> (groups * kGroupBits) != 0) ++groups;
    int left = groups;
    for (; left >= kMostInGroup; left -= kMostInGroup) add_group(kMostInGroup);
    add_group(left);
    for (int i = 0; i < groups; ++i) add_group(number >> (i * kGroupBits) & kMostInGroup);
  }

  std::vector<Event> events_;
};

class Encoder {
 public:
  py::bytes encode(const py::list& symbols, const py::list& indexes, const py::list& cdfs,
                   const py::list& sizes, const py::list& offsets) {
    BufferedEncoder buffered;
    buffered.add(symbols, indexes, cdfs, sizes, offsets);
    return buffered.flush();
  }
};

class Decoder {
 public:
  void set_stream(const std::string& data) {
    words_.resize(data.size() / 4);
    std::memcpy(words_.data(), data.data(), 4 * words_.size());
    next_ = 0;
    state_ = word();
    state_ |= uint64_t(word()) << 32;
  }

  py::list decode_stream(const py::list& given_indexes, const py::list& cdfs,
                         const py::list& sizes, const py::list& offsets) {
    const Ints indexes = ints(given_indexes);
    const Tables tables(cdfs, sizes, offsets);
    Ints symbols(indexes.size());
    for (size_t i = 0; i < indexes.size(); ++i) {
      const Tables::Table& table = tables[indexes[i]];
      const int32_t slot = int32_t(state_ & ((1 << kTableBits) - 1));
      int32_t event = 0;
      while (event < table.most && table.cdf[event + 1] <= slot) ++event;
      const uint32_t begin = table.cdf[event];
      advance(begin, table.cdf[event + 1] - begin, kTableBits);
      symbols[i] = (event == table.most ? escape(table.most) : event) + table.offset;
    }
    return list_of(symbols);
  }

  py::list decode(const std::string& data, const py::list& indexes, const py::list& cdfs,
                  const py::list& sizes, const py::list& offsets) {
    set_stream(data);
    return decode_stream(indexes, cdfs, sizes, offsets);
  }

 private:
  uint32_t word() {
    if (next_ >= words_.size()) throw std::out_of_range("the string is too short");
    return words_[next_++];
  }

  void advance(uint32_t begin, uint32_t width, int bits) {
    const uint64_t slot = state_ & ((uint64_t{1} << bits) - 1);
    state_ = width * (state_ >> bits) + slot - begin;
    if (state_ < kLeast) state_ = state_ << 32 | word();
  }

  uint32_t group() {
    const uint32_t found = uint32_t(state_ & kMostInGroup);
    advance(found, 1, kGroupBits);
    return found;
  }

  int32_t escape(int32_t most) {
    uint32_t groups = 0, more;
    do groups += more = group();
    while (more == kMostInGroup);
    uint32_t number = 0;
    for (uint32_t i = 0; i < groups; ++i) number |= group() << (i * kGroupBits);
    const int32_t half = int32_t(number >> 1);
    return number & 1 ? -half - 1 : half + most;
  }

  std::vector<uint32_t> words_;
  size_t next_ = 0;
  uint64_t state_ = 0;
};

}  // namespace

PYBIND11_MODULE(fcmrt_range_coder, module) {
  py::class_<BufferedEncoder>(module, "BufferedRansEncoder")
      .def(py::init<>())
      .def("encode_with_indexes", &BufferedEncoder::add)
      .def("flush", &BufferedEncoder::flush);
  py::class_<Encoder>(module, "RansEncoder")
      .def(py::init<>())
      .def("encode_with_indexes", &Encoder::encode);
  py::class_<Decoder>(module, "RansDecoder")
      .def(py::init<>())
      .def("set_stream", &Decoder::set_stream)
      .def("decode_stream", &Decoder::decode_stream)
      .def("decode_with_indexes", &Decoder::decode);
}
