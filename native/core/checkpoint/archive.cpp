#include "core/checkpoint/archive.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/api/module.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/checkpoint/load_module.h"
#include "core/checkpoint/path.h"
#include "core/checkpoint/zip_directory.h"
#include "core/json.h"
#include "core/script_source.h"
#include "platform.h"

namespace electra {

namespace {

namespace fs = std::filesystem;
using torch::jit::Module;

constexpr const char* kManifest = "electra_classifier.json";
constexpr int64_t kFormatVersion = 1;
constexpr size_t kMaxManifestBytes = 1 << 16;
// A tokenizer.json has a few MB; a record's claimed size decides how much is allocated for it.
constexpr size_t kMaxFileBytes = 256 << 20;
constexpr std::string_view kExtra = "extra/";

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw CoreError(ELECTRA_CHECKPOINT_INVALID, path + " cannot be used: " + what + ".");
}

void check_manifest(const std::string& path, const std::string& text) {
  int64_t version = 0;
  try {
    const json::Value manifest = json::parse(text, kMaxManifestBytes);
    const json::Object* object = manifest.get<json::Object>();
    const json::Value* value = object != nullptr ? json::find(*object, "format_version") : nullptr;
    const int64_t* number = value != nullptr ? value->get<int64_t>() : nullptr;
    if (number == nullptr) throw json::Error("it has no format_version");
    version = *number;
  } catch (const json::Error& error) {
    fail(path, std::string("its manifest ") + kManifest + " is damaged: " + error.what());
  }
  if (version != kFormatVersion) {
    fail(path, "its format_version is " + std::to_string(version) +
                   " and this version of the library reads " + std::to_string(kFormatVersion) +
                   "; update electra-classifier, or export the archive anew");
  }
}

// The module tree of a model: each tensor under the path that its name spells.
class Tree {
 public:
  explicit Tree(const std::string& type)
      : unit_(std::make_shared<torch::jit::CompilationUnit>()), root_(make(type)) {}

  Module& root() { return root_; }

  Module at(const std::string& path) {
    Module module = root_;
    for (size_t start = 0, end = 0; end < path.size(); start = end + 1) {
      end = std::min(path.find('.', start), path.size());
      const std::string name = path.substr(start, end - start);
      if (!module.hasattr(name)) module.register_module(name, make("Part"));
      module = module.attr(name).toModule();
    }
    return module;
  }

  void add(const std::string& name, const at::Tensor& tensor) {
    const size_t dot = name.rfind('.');
    at(name.substr(0, dot)).register_parameter(name.substr(dot + 1), tensor.to(at::kFloat), false);
  }

  // Puts the module at `path` under another path too, as a shared activation stands in Python.
  void alias(const std::string& path, const std::string& other) {
    const size_t dot = other.rfind('.');
    at(other.substr(0, dot)).register_module(other.substr(dot + 1), at(path));
  }

 private:
  Module make(const std::string& type) const {
    Module module("__torch__.electra_classifier." + type, unit_, true);
    // Without this attribute torch.jit.freeze throws.
    module.register_attribute("training", c10::BoolType::get(), false);
    return module;
  }

  std::shared_ptr<torch::jit::CompilationUnit> unit_;
  Module root_;
};

Module build_module(const ElectraConfig& config, const TensorMap& tensors, const Stop& stop) {
  Tree tree(config.architecture_name);
  const auto activation = [&](int64_t i) { return head_activation_module(config, i); };
  const auto is_alias = [&](const std::string& name) {
    for (int64_t i = 1; i < config.num_layers; ++i) {
      if (name.starts_with(activation(i) + ".")) return true;
    }
    return false;
  };
  const std::string body = config.base_model_prefix + ".";
  for (const auto& [name, tensor] : tensors) {
    stop.check();
    if (!is_alias(name)) tree.add(name, tensor);
  }
  if (head_has_weights(config)) {
    for (int64_t i = 1; i < config.num_layers; ++i) tree.alias(activation(0), activation(i));
  }
  tree.at(body + "embeddings").define(embeddings_source(config));
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    tree.at(body + "encoder.layer." + std::to_string(i)).define(layer_source(config));
  }
  tree.root().define(classifier_source(config));
  return tree.root();
}

// A file that is removed again unless it was moved to where it belongs.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target) : target_(to_path(target)), path_(target_) {
    static std::atomic<uint64_t> count = 0;
    const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
    path_ += c10::str(".", now, "-", ++count, ".tmp");
  }
  ~TemporaryFile() {
    std::error_code ignored;
    if (!moved_) fs::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const fs::path& path() const { return path_; }
  void move() {
    fs::rename(path_, target_);
    moved_ = true;
  }

 private:
  fs::path target_, path_;
  bool moved_ = false;
};

}  // namespace

ArchiveContents read_archive(const std::string& path) {
  if (!fs::exists(to_path(path))) {
    throw CoreError(ELECTRA_CHECKPOINT_NOT_FOUND, "There is no archive at " + path + ".");
  }
  const auto fail_as_damaged = [&path](const std::string& reason) {
    fail(path, "it is not a TorchScript archive, or it is damaged: " + reason);
  };
  ArchiveContents contents;
  try {
    check_zip_directory(platform::MappedFile(path).bytes());
    caffe2::serialize::PyTorchStreamReader reader(path);
    if (!reader.hasRecord("constants.pkl")) {
      fail(path,
           reader.hasRecord("data.pkl")
               ? "it was written by torch.save and holds tensors only; load the folder where it lies as "
                 "pytorch_model.bin, beside config.json and the tokenizer"
               : "it is a zip file but not a TorchScript archive");
    }
    for (const std::string& record : reader.getAllRecords()) {
      if (!record.starts_with(kExtra)) continue;
      const std::string name = record.substr(kExtra.size());
      if (reader.getRecordSize(record) > kMaxFileBytes) fail(path, "its file " + name + " is too large");
      const auto [data, size] = reader.getRecord(record);
      contents.files.emplace(name, std::string(static_cast<const char*>(data.get()), size));
    }
  } catch (const c10::OutOfMemoryError&) {
    throw;
  } catch (const ZipError& error) {
    fail_as_damaged(error.what());
  } catch (const c10::Error& error) {
    fail_as_damaged(error.what_without_backtrace());
  }
  if (const auto manifest = contents.files.find(kManifest); manifest != contents.files.end()) {
    check_manifest(path, manifest->second);
    contents.own = true;
  }
  return contents;
}

TensorMap read_archive_tensors(const std::string& path) {
  const Module module = load_module(path, c10::Device(c10::kCPU));
  TensorMap tensors;
  for (const auto& parameter : module.named_parameters())
    tensors.emplace(parameter.name, parameter.value.detach());
  return tensors;
}

void write_archive(const std::string& path, const ElectraConfig& config, const TensorMap& tensors,
                   std::span<const electra_file> files, const Stop& stop) {
  torch::jit::ExtraFilesMap extra;
  for (const electra_file& file : files) {
    extra[file.name] = std::string(static_cast<const char*>(file.bytes), file.size);
  }
  extra[kManifest] = "{\"format_version\": " + std::to_string(kFormatVersion) + "}\n";
  const Module module = build_module(config, tensors, stop);

  TemporaryFile temporary(path);
  std::ofstream out(temporary.path(), std::ios::binary);
  if (!out) {
    throw CoreError(ELECTRA_MODEL_LOAD_FAILED,
                    path + " cannot be written: " + std::strerror(errno) + "; choose another place.");
  }
  module.save(out, extra);
  out.close();
  if (!out) {
    throw CoreError(ELECTRA_MODEL_LOAD_FAILED,
                    path + " could not be written to its end: " + std::strerror(errno) + ".");
  }
  temporary.move();
}

}  // namespace electra
