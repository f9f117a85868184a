// What the fuzz targets share: an input as a file, as a zip file, and as numbers.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"

namespace electra::fuzz {

// Ends the process, which libFuzzer then says which input did.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// A file in memory that readers open by its path; one for the whole run.
class File {
 public:
  File() : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    require(descriptor_ >= 0, "memfd_create");
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& write(std::string_view bytes) {
    require(ftruncate(descriptor_, 0) == 0, "ftruncate");
    const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), 0);
    require(written == static_cast<ssize_t>(bytes.size()), "pwrite");
    return path_;
  }

 private:
  int descriptor_;
  std::string path_;
};

// Takes an input apart, from its beginning; what is not there is 0 or "".
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  template <typename T>
  T number() {
    T number = 0;
    const std::string_view taken = bytes(sizeof(T));
    if (!taken.empty()) std::memcpy(&number, taken.data(), taken.size());
    return number;
  }

  std::string_view bytes(size_t count) {
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  // A length of 16 bits, then that many bytes.
  std::string_view text() { return bytes(number<uint16_t>()); }

  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// Calls what may refuse its input, and only so: as a checkpoint that cannot be used.
template <typename Work>
void refuses_or(const Work& work) {
  try {
    work();
  } catch (const CoreError& error) {
    require(error.code() == ELECTRA_CHECKPOINT_INVALID, "a reader refuses with CHECKPOINT_INVALID");
    require(*error.what() != '\0', "an error has a message");
  }
}

// A zip file of stored records under one folder, as torch writes it, with right checksums: without them the
// reader would look at nothing behind them.
inline std::string zip(const std::vector<std::pair<std::string, std::string>>& records) {
  const auto checksum = [](std::string_view bytes) {
    uint32_t crc = ~0u;
    for (const char c : bytes) {
      crc ^= static_cast<uint8_t>(c);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    }
    return ~crc;
  };
  std::string file, directory;
  const auto put = [](std::string& out, auto number) {
    for (size_t i = 0; i < sizeof(number); ++i) out += static_cast<char>(number >> (8 * i));
  };
  for (const auto& [record, bytes] : records) {
    const std::string name = "archive/" + record;
    std::string common;  // of both headers: version, flags, method, time, checksum, sizes, lengths
    for (const uint16_t number : {20, 0, 0, 0, 0}) put(common, number);
    put(common, checksum(bytes));
    put(common, static_cast<uint32_t>(bytes.size()));
    put(common, static_cast<uint32_t>(bytes.size()));
    put(common, static_cast<uint16_t>(name.size()));
    put(common, uint16_t{0});
    directory += "PK\x01\x02" + std::string(2, '\0') + common + std::string(10, '\0');
    put(directory, static_cast<uint32_t>(file.size()));
    directory += name;
    file += "PK\x03\x04" + common + name + bytes;
  }
  const auto start = static_cast<uint32_t>(file.size());
  file += directory + "PK\x05\x06" + std::string(4, '\0');
  put(file, static_cast<uint16_t>(records.size()));
  put(file, static_cast<uint16_t>(records.size()));
  put(file, static_cast<uint32_t>(directory.size()));
  put(file, start);
  put(file, uint16_t{0});
  return file;
}

}  // namespace electra::fuzz
