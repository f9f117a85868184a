// One .pt file that is the whole model: a TorchScript module, and extra files beside it (config.json, the
// tokenizer, and a manifest by which this library knows its own). Runs in Python's torch.jit.load as well.
#pragma once

#include <map>
#include <span>
#include <string>

#include "core/config.h"
#include "core/error.h"
#include "core/layout.h"

namespace electra {

// A TorchScript archive, opened but not run.
struct ArchiveContents {
  std::map<std::string, std::string> files;  // the extra files by name
  bool own = false;                          // written by write_archive
};

// Throws CoreError: not found, not a TorchScript archive, or our own in a format that is newer than this
// code.
ArchiveContents read_archive(const std::string& path);

// The parameters of an archive of our own, by name.
TensorMap read_archive_tensors(const std::string& path);

// Writes a checkpoint (as checked_tensors returns it) through a temporary name in the same folder, so that
// `path` is either whole or not there.
void write_archive(const std::string& path, const ElectraConfig& config, const TensorMap& tensors,
                   std::span<const electra_file> files, const Stop& stop);

}  // namespace electra
