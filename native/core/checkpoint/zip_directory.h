// What a zip file says of itself, checked before torch's reader believes it: that one allocates, already
// while it opens a file, whatever size the directory names.
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>

namespace electra {

// What is wrong with a zip file, as the end of a sentence.
class ZipError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws ZipError unless `file` ends with a directory whose records, unpacked, have no more bytes than the
// file and an allowance for what is worth compressing, which is code and tokenizers.
void check_zip_directory(std::span<const std::byte> file);

}  // namespace electra
