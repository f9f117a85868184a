#include "core/checkpoint/torch_file.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>

#include <map>
#include <string_view>

#include "core/checkpoint/pickle.h"
#include "core/checkpoint/zip_directory.h"
#include "platform.h"

namespace electra {

namespace {

using caffe2::serialize::PyTorchStreamReader;

// A pickle of 24 layers has 60 kB.
constexpr size_t kMaxPickleBytes = 4 << 20;
// A pickle of the number that torch.save wrote first before version 1.6.
constexpr std::string_view kOldMagic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::string_view kZipMagic = "PK\x03\x04";

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw CoreError(ELECTRA_CHECKPOINT_INVALID,
                  path + " cannot be used: " + what +
                      "; nothing in it was run. Where you trust it, load it in Python and save it again, " +
                      "with save_pretrained (model.safetensors) or torch.save(model.state_dict(), ...).");
}

[[noreturn]] void fail_as_damaged(const std::string& path, const std::string& reason) {
  fail(path, "it is damaged, or not a file of torch.save: " + reason);
}

// The file's size, where it begins as a zip file does and its directory can be believed.
uint64_t check_start(const std::string& path) {
  const platform::MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (bytes.starts_with(kOldMagic)) fail(path, "it has the format of torch.save before torch 1.6");
  if (!bytes.starts_with(kZipMagic)) fail(path, "it is damaged, or not a file of torch.save");
  try {
    check_zip_directory(file.bytes());
  } catch (const ZipError& error) {
    fail_as_damaged(path, error.what());
  }
  return bytes.size();
}

std::string read_text(PyTorchStreamReader& reader, const std::string& record) {
  const auto [data, size] = reader.getRecord(record);
  return std::string(static_cast<const char*>(data.get()), size);
}

void check_records(const std::string& path, PyTorchStreamReader& reader) {
  if (reader.hasRecord("constants.pkl")) {
    fail(path, "it is a TorchScript archive, not weights; load it under a name that ends in .pt");
  }
  if (!reader.hasRecord("data.pkl")) fail(path, "it is a zip file, but not one of torch.save");
  if (reader.getRecordSize("data.pkl") > kMaxPickleBytes) fail(path, "its pickle is too large for tensors");
  if (reader.hasRecord("byteorder") &&
      (reader.getRecordSize("byteorder") > 16 || read_text(reader, "byteorder") != "little")) {
    fail(path, "it was not written on a little-endian machine");
  }
}

// The storages of a file, each read once, and never more bytes than the file has: records may be compressed.
class Storages {
 public:
  Storages(const std::string& path, PyTorchStreamReader& reader, uint64_t file_size)
      : path_(path), reader_(reader), bytes_left_(file_size) {}

  at::Tensor read(const std::string& name, const PickledTensor& tensor) {
    const auto found = read_.find(tensor.storage);
    if (found != read_.end()) {
      if (found->second.scalar_type() != tensor.dtype || found->second.numel() != tensor.storage_size) {
        fail(path_, "tensor " + name + " describes its storage otherwise than another tensor");
      }
      return found->second;
    }
    const std::string record = "data/" + tensor.storage;
    if (!reader_.hasRecord(record)) fail(path_, "the bytes of tensor " + name + " are missing");
    const uint64_t size = reader_.getRecordSize(record), element = c10::elementSize(tensor.dtype);
    if (size % element != 0 || size / element != static_cast<uint64_t>(tensor.storage_size)) {
      fail(path_, "tensor " + name + " lies in a storage of " + std::to_string(tensor.storage_size) +
                      " elements, but the file has " + std::to_string(size) + " bytes for it");
    }
    spend(size);
    at::Tensor storage = at::empty({tensor.storage_size}, tensor.dtype);
    if (size > 0) reader_.getRecord(record, storage.mutable_data_ptr(), size);
    return read_.emplace(tensor.storage, std::move(storage)).first->second;
  }

  void spend(uint64_t bytes) {
    if (bytes > bytes_left_) fail(path_, "its tensors are larger than the file");
    bytes_left_ -= bytes;
  }

 private:
  const std::string& path_;
  PyTorchStreamReader& reader_;
  uint64_t bytes_left_;
  std::map<std::string, at::Tensor> read_;
};

TensorMap read_tensors(const std::string& path, uint64_t file_size, const Stop& stop) {
  PyTorchStreamReader reader(path);
  check_records(path, reader);
  std::vector<std::pair<std::string, PickledTensor>> described;
  try {
    described = read_state_dict(read_text(reader, "data.pkl"));
  } catch (const PickleError& error) {
    fail(path, std::string("its pickle has ") + error.what());
  }
  // Twice the file: once for the storages, once for copies of tensors that lie transposed in theirs.
  Storages storages(path, reader, 2 * file_size);
  TensorMap tensors;
  for (const auto& [name, tensor] : described) {
    stop.check();
    at::Tensor view = storages.read(name, tensor).as_strided(tensor.sizes, tensor.strides, tensor.offset);
    if (!view.is_contiguous()) storages.spend(view.nbytes());
    tensors.emplace(name, view.contiguous());
  }
  return tensors;
}

}  // namespace

TensorMap read_torch_file(const std::string& path, const Stop& stop) {
  const uint64_t file_size = check_start(path);
  try {
    return read_tensors(path, file_size, stop);
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const c10::Error& error) {
    fail_as_damaged(path, error.what_without_backtrace());
  }
}

}  // namespace electra
