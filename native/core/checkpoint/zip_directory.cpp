#include "core/checkpoint/zip_directory.h"

#include <cstdint>
#include <string>

namespace electra {

namespace {

// The code of a traced model has some hundred kB, a tokenizer.json a few MB.
constexpr uint64_t kAllowance = 256 << 20;

constexpr uint64_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56, kEntrySize = 46;
constexpr uint32_t kEndMagic = 0x06054b50, kLocatorMagic = 0x07064b50, kEnd64Magic = 0x06064b50,
                   kEntryMagic = 0x02014b50;
constexpr uint16_t kZip64Field = 1;
constexpr uint32_t kIn64 = 0xffffffff;  // stands where a 64-bit number stands elsewhere

[[noreturn]] void fail(const std::string& what) { throw ZipError(what); }

class Bytes {
 public:
  explicit Bytes(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t size() const { return bytes_.size(); }

  Bytes part(uint64_t at, uint64_t count) const {
    if (at > size() || count > size() - at) fail("its directory ends early");
    return Bytes(bytes_.subspan(at, count));
  }

  // Little-endian.
  template <typename T>
  T number(uint64_t at) const {
    uint64_t number = 0, shift = 0;
    for (const std::byte byte : part(at, sizeof(T)).bytes_) {
      number |= std::to_integer<uint64_t>(byte) << shift;
      shift += 8;
    }
    return static_cast<T>(number);
  }

 private:
  std::span<const std::byte> bytes_;
};

struct Directory {
  Bytes bytes;
  uint64_t entries;
};

// At the very end, as torch writes it: with a comment after it, two readers might find two directories.
Directory find_directory(const Bytes& file) {
  if (file.size() < kEndSize) fail("it is too short for a directory");
  const uint64_t end_at = file.size() - kEndSize;
  const Bytes end = file.part(end_at, kEndSize);
  if (end.number<uint32_t>(0) != kEndMagic || end.number<uint16_t>(20) != 0) {
    fail("it does not end with a directory");
  }
  uint64_t entries = end.number<uint16_t>(10), size = end.number<uint32_t>(12),
           offset = end.number<uint32_t>(16);
  if (end_at >= kLocatorSize) {
    const Bytes locator = file.part(end_at - kLocatorSize, kLocatorSize);
    if (locator.number<uint32_t>(0) == kLocatorMagic) {
      const Bytes end64 = file.part(locator.number<uint64_t>(8), kEnd64Size);
      if (end64.number<uint32_t>(0) != kEnd64Magic) fail("its directory is damaged");
      entries = end64.number<uint64_t>(32);
      size = end64.number<uint64_t>(40);
      offset = end64.number<uint64_t>(48);
    }
  }
  return {file.part(offset, size), entries};
}

// The sizes of a record that stands in the file's extra field, in this order, where 32 bits were too few.
void read_zip64(const Bytes& extra, uint64_t& unpacked, uint64_t& packed) {
  for (uint64_t at = 0; at + 4 <= extra.size();) {
    const uint64_t size = extra.number<uint16_t>(at + 2);
    const Bytes field = extra.part(at + 4, size);
    if (extra.number<uint16_t>(at) == kZip64Field) {
      uint64_t next = 0;
      for (uint64_t* number : {&unpacked, &packed}) {
        if (*number != kIn64) continue;
        *number = field.number<uint64_t>(next);
        next += sizeof(uint64_t);
      }
      return;
    }
    at += 4 + size;
  }
}

}  // namespace

void check_zip_directory(std::span<const std::byte> bytes) {
  const Bytes file(bytes);
  const Directory directory = find_directory(file);
  uint64_t at = 0, left = file.size() + kAllowance;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    const Bytes entry = directory.bytes.part(at, kEntrySize);
    if (entry.number<uint32_t>(0) != kEntryMagic) fail("its directory is damaged");
    const bool stored = entry.number<uint16_t>(10) == 0;
    uint64_t packed = entry.number<uint32_t>(20), unpacked = entry.number<uint32_t>(24);
    const uint64_t name = entry.number<uint16_t>(28), extra = entry.number<uint16_t>(30);
    read_zip64(directory.bytes.part(at + kEntrySize + name, extra), unpacked, packed);
    if (packed > file.size() || (stored && packed != unpacked)) fail("a record in it has no such size");
    if (unpacked > left) fail("its records, unpacked, would be far larger than the file");
    left -= unpacked;
    at += kEntrySize + name + extra + entry.number<uint16_t>(32);
  }
}

}  // namespace electra
