// The range coder that CompressAI's models are given: its interface and its bytes, written anew, for
// machines where CompressAI is not installed.
//
// One rANS state of 64 bits and words of 32, probabilities in units of 2^-16. What lies outside of
// its table is coded as the table's last event, and then a number in groups of four bits: how many
// groups there are, in groups of which 15 means that more follow, and the groups themselves.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Ints = std::vector<int32_t>;
using Tables = std::vector<Ints>;

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

size_t count_of(const Tables& cdfs, const Ints& sizes, const Ints& offsets) {
  return std::min({cdfs.size(), sizes.size(), offsets.size()});
}

size_t table(int32_t index, size_t count) {
  if (uint32_t(index) >= count) throw std::out_of_range("there is no such table");
  return uint32_t(index);
}

class BufferedEncoder {
 public:
  void add(const Ints& symbols, const Ints& indexes, const Tables& cdfs, const Ints& sizes,
           const Ints& offsets) {
    if (symbols.size() != indexes.size()) throw std::invalid_argument("other numbers of indexes");
    const size_t count = count_of(cdfs, sizes, offsets);
    events_.reserve(events_.size() + symbols.size());
    for (size_t i = 0; i < symbols.size(); ++i) {
      const size_t t = table(indexes[i], count);
      const Ints& cdf = cdfs[t];
      const int32_t most = sizes[t] - 2;
      const int32_t value = symbols[i] - offsets[t];
      const int32_t event = value < 0 || value >= most ? most : value;
      const uint32_t begin = cdf[event];
      events_.push_back({uint32_t(cdf[event + 1]) - begin, uint16_t(begin), kTableBits});
      if (event == most) add_escape(zigzag(value, most));
    }
  }

  pybind11::bytes flush() {
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
    return pybind11::bytes(reinterpret_cast<const char*>(words.data()), 4 * words.size());
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
  pybind11::bytes encode(const Ints& symbols, const Ints& indexes, const Tables& cdfs,
                         const Ints& sizes, const Ints& offsets) {
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

  Ints decode_stream(const Ints& indexes, const Tables& cdfs, const Ints& sizes,
                     const Ints& offsets) {
    const size_t count = count_of(cdfs, sizes, offsets);
    Ints symbols(indexes.size());
    for (size_t i = 0; i < indexes.size(); ++i) {
      const size_t t = table(indexes[i], count);
      const Ints& cdf = cdfs[t];
      const int32_t most = sizes[t] - 2;
      const int32_t slot = int32_t(state_ & ((1 << kTableBits) - 1));
      const auto end = cdf.begin() + sizes[t];
      const int32_t event =
          int32_t(std::find_if(cdf.begin(), end, [=](int v) { return v > slot; }) - cdf.begin()) - 1;
      advance(cdf[event], cdf[event + 1] - cdf[event], kTableBits);
      symbols[i] = (event == most ? escape(most) : event) + offsets[t];
    }
    return symbols;
  }

  Ints decode(const std::string& data, const Ints& indexes, const Tables& cdfs, const Ints& sizes,
              const Ints& offsets) {
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
  pybind11::class_<BufferedEncoder>(module, "BufferedRansEncoder")
      .def(pybind11::init<>())
      .def("encode_with_indexes", &BufferedEncoder::add)
      .def("flush", &BufferedEncoder::flush);
  pybind11::class_<Encoder>(module, "RansEncoder")
      .def(pybind11::init<>())
      .def("encode_with_indexes", &Encoder::encode);
  pybind11::class_<Decoder>(module, "RansDecoder")
      .def(pybind11::init<>())
      .def("set_stream", &Decoder::set_stream)
      .def("decode_stream", &Decoder::decode_stream)
      .def("decode_with_indexes", &Decoder::decode);
}
