#include "core/checkpoint/weights.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/checkpoint/path.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/torch_file.h"
#include "core/json.h"
#include "platform.h"

namespace electra {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxIndexBytes = 4 << 20;
constexpr size_t kMaxNamed = 10;
constexpr std::string_view kIndexEnd = ".index.json", kBinEnd = ".bin", kSafetensorsEnd = ".safetensors";

// The names of the tensors in each shard.
using Shards = std::map<std::string, std::vector<std::string>>;

[[noreturn]] void fail(const std::string& index, const std::string& what) {
  throw CoreError(ELECTRA_CHECKPOINT_INVALID,
                  index + " cannot be used: " + what + "; fetch or save the model again.");
}

TensorMap read_file(const std::string& path, const Stop& stop) {
  return path.ends_with(kBinEnd) ? read_torch_file(path, stop) : read_safetensors(path, stop);
}

// A name and no path: an index from elsewhere must not lead out of its folder.
bool is_plain(std::string_view name) {
  const auto is_special = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '/' || c == '\\' || c == ':';
  };
  return !name.empty() && name.front() != '.' && std::none_of(name.begin(), name.end(), is_special);
}

json::Value parse_json(const std::string& index, std::string_view text) {
  try {
    return json::parse(text, kMaxIndexBytes);
  } catch (const json::Error& error) {
    fail(index, std::string("it is not JSON: ") + error.what());
  }
}

Shards parse_index(const std::string& index) {
  const platform::MappedFile file(index);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const bool bin = index.ends_with(std::string(kBinEnd) + std::string(kIndexEnd));
  const std::string_view end = bin ? kBinEnd : kSafetensorsEnd;
  const json::Value value = parse_json(index, text);
  const json::Object* object = value.get<json::Object>();
  const json::Value* weight_map = object != nullptr ? json::find(*object, "weight_map") : nullptr;
  const json::Object* files = weight_map != nullptr ? weight_map->get<json::Object>() : nullptr;
  if (files == nullptr || files->empty()) fail(index, "it has no weight_map from tensors to files");
  Shards shards;
  for (const auto& [tensor, file] : *files) {
    const std::string* name = file.get<std::string>();
    if (name == nullptr) fail(index, "it gives tensor " + tensor + " no file");
    if (!is_plain(*name) || !name->ends_with(end)) {
      fail(index, "it names the file \"" + *name + "\"; only names that end in " + std::string(end) +
                      ", without a path, are read");
    }
    shards[*name].push_back(tensor);
  }
  return shards;
}

void check_files(const std::string& index, const Shards& shards) {
  const fs::path folder = to_path(index).parent_path();
  std::string missing;
  size_t count = 0;
  for (const auto& [name, tensors] : shards) {
    if (std::error_code error; fs::exists(folder / to_path(name), error)) continue;
    if (++count <= kMaxNamed) missing += (count > 1 ? ", " : "") + name;
  }
  if (count > 0) {
    throw CoreError(ELECTRA_CHECKPOINT_NOT_FOUND,
                    std::to_string(count) + " of the " + std::to_string(shards.size()) + " files that " +
                        index + " names are missing: " + missing + (count > kMaxNamed ? ", ..." : "") +
                        "; fetch them into the same folder.");
  }
  // A link may lead to where the index's own leads, as all do in Hugging Face's cache, and nowhere else.
  std::error_code error;
  const fs::path home = fs::canonical(folder, error);
  const fs::path blobs = fs::canonical(to_path(index), error).parent_path();
  for (const auto& [name, tensors] : shards) {
    const fs::path place = fs::canonical(folder / to_path(name), error).parent_path();
    if (error || (place != home && place != blobs)) {
      fail(index, "its file " + name + " is a link that leads to another folder, " + to_utf8(place));
    }
  }
}

TensorMap read_shards(const std::string& index, const Stop& stop) {
  const Shards shards = parse_index(index);
  check_files(index, shards);
  const fs::path folder = to_path(index).parent_path();
  TensorMap tensors;
  for (const auto& [name, members] : shards) {
    TensorMap shard = read_file(to_utf8(folder / to_path(name)), stop);
    for (const std::string& member : members) {
      auto node = shard.extract(member);
      if (node.empty()) fail(index, "tensor " + member + " should be in " + name + " and is not");
      tensors.insert(std::move(node));
    }
    if (!shard.empty())
      fail(index, name + " holds tensor " + shard.begin()->first + ", which the index does not place there");
  }
  return tensors;
}

}  // namespace

TensorMap read_weights(const std::string& path, const Stop& stop) {
  return path.ends_with(kIndexEnd) ? read_shards(path, stop) : read_file(path, stop);
}

}  // namespace electra
