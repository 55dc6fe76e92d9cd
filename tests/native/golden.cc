#include "golden.h"

#include <fstream>
#include <iterator>

#include "agreement.h"
#include "failure.h"

namespace fcmrt::fuzz {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    require(!bytes_.empty(), "a golden file is not there");
  }
  u32 number() {
    require(next_ + 4 <= bytes_.size(), "a golden file ends too early");
    return load_u32(bytes_.data() + std::exchange(next_, next_ + 4));
  }
  template <class T>
  std::vector<T> array() {
    std::vector<T> values;
    for (u32 n = number(); n > 0; --n) values.push_back(T(number()));
    return values;
  }
  bool done() const { return next_ == bytes_.size(); }

 private:
  std::vector<u8> bytes_;
  std::size_t next_ = 0;
};

TableSet read_tables(Reader& reader) {
  TableSet set;
  set.offsets = reader.array<i32>();
  set.sizes = reader.array<i32>();
  set.freqs = reader.array<u16>();
  return set;
}

}  // namespace

Packet read_golden(const std::string& path) {
  Reader reader(path);
  Packet packet;
  packet.lanes = reader.number();
  packet.check = reader.number();
  packet.payload.words = reader.array<u32>();
  packet.payload.segments = reader.array<u8>();
  packet.payload.escapes = reader.array<u8>();
  packet.steps.resize(reader.number());
  for (CodeStep& step : packet.steps) {
    step.tables = std::make_shared<const Tables>(read_tables(reader));
    step.skip = reader.number();
    step.indexes = reader.array<u16>();
    step.symbols = reader.array<i32>();
    step.wide = step.tables->set.count() > 256;
  }
  require(reader.done(), "a golden file is too long");
  return packet;
}

Status replay(const Packet& packet) {
  const Decoded found = decode_with_all(packet);
  if (found.status != Status::ok) return found.status;
  require_decodes_to(packet, found);
  Payload again;
  encode_with_all(packet, u32(packet.payload.words.size()), again);
  require(again == packet.payload, "a golden packet encodes to other bytes");
  return found.status;
}

}  // namespace fcmrt::fuzz
