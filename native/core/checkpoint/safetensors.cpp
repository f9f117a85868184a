#include "core/checkpoint/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "platform.h"

namespace electra {

namespace {

// A header of 24 layers has 50 kB; this bounds what a hostile one can make the JSON reader hold.
constexpr uint64_t kMaxHeaderBytes = 4 << 20;
constexpr size_t kMaxDimensions = 8;

constexpr std::pair<std::string_view, at::ScalarType> kDtypes[] = {
    {"F32", at::kFloat}, {"F16", at::kHalf},  {"BF16", at::kBFloat16}, {"F64", at::kDouble},
    {"I64", at::kLong},  {"I32", at::kInt},   {"I16", at::kShort},     {"I8", at::kChar},
    {"U8", at::kByte},   {"BOOL", at::kBool},
};

struct Entry {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw CoreError(ELECTRA_CHECKPOINT_INVALID,
                  path + " is not a usable safetensors file: " + what + "; fetch or save it again.");
}

at::ScalarType dtype_named(const std::string& name) {
  for (const auto& [known, dtype] : kDtypes) {
    if (known == name) return dtype;
  }
  throw json::Error("has dtype " + name + ", which is not supported");
}

// Throws json::Error that says what is wrong with the entry.
Entry parse_entry(const std::string& name, const json::Value& value, uint64_t data_size) {
  const json::Object* object = value.get<json::Object>();
  const auto find = [object](const char* key) { return object ? json::find(*object, key) : nullptr; };
  const json::Value *dtype = find("dtype"), *shape = find("shape"), *offsets = find("data_offsets");
  if (object == nullptr || object->size() != 3 || dtype == nullptr || shape == nullptr ||
      offsets == nullptr) {
    throw json::Error("must have dtype, shape and data_offsets, and nothing else");
  }
  const std::string* dtype_name = dtype->get<std::string>();
  if (dtype_name == nullptr) throw json::Error("has a dtype that is not a string");
  Entry entry{name, dtype_named(*dtype_name), {}, 0, 0};

  const json::Array* sizes = shape->get<json::Array>();
  if (sizes == nullptr || sizes->size() > kMaxDimensions)
    throw json::Error("has a shape that is not a short list");
  uint64_t bytes = c10::elementSize(entry.dtype);
  for (const json::Value& value : *sizes) {
    const int64_t* size = value.get<int64_t>();
    if (size == nullptr || *size < 0) throw json::Error("has a size that is not a whole number");
    if (*size != 0 && bytes > data_size / static_cast<uint64_t>(*size)) {
      throw json::Error("has a shape larger than the file");
    }
    bytes *= static_cast<uint64_t>(*size);
    entry.shape.push_back(*size);
  }

  const json::Array* pair = offsets->get<json::Array>();
  const int64_t* begin = pair != nullptr && pair->size() == 2 ? (*pair)[0].get<int64_t>() : nullptr;
  const int64_t* end = pair != nullptr && pair->size() == 2 ? (*pair)[1].get<int64_t>() : nullptr;
  if (begin == nullptr || end == nullptr || *begin < 0 || *end < *begin) {
    throw json::Error("has data_offsets that are not a range");
  }
  entry.begin = static_cast<uint64_t>(*begin);
  entry.end = static_cast<uint64_t>(*end);
  if (entry.end > data_size) {
    throw json::Error("ends at byte " + std::to_string(entry.end) + " of the data, which has " +
                      std::to_string(data_size));
  }
  if (entry.end - entry.begin != bytes) {
    throw json::Error("has " + std::to_string(entry.end - entry.begin) +
                      " bytes, but its dtype and shape need " + std::to_string(bytes));
  }
  return entry;
}

void check_metadata(const json::Value& value) {
  const json::Object* object = value.get<json::Object>();
  const auto is_text = [](const auto& entry) { return entry.second.template get<std::string>() != nullptr; };
  if (object == nullptr || !std::all_of(object->begin(), object->end(), is_text)) {
    throw json::Error("must hold strings only");
  }
}

// The entries in the order of their bytes, which they cover without a gap.
std::vector<Entry> parse_header(const std::string& path, std::string_view text, uint64_t data_size) {
  std::vector<Entry> entries;
  std::string name;
  try {
    const json::Value header = json::parse(text, kMaxHeaderBytes);
    const json::Object* object = header.get<json::Object>();
    if (object == nullptr) throw json::Error("is not a JSON object");
    for (const auto& [key, value] : *object) {
      name = key;
      if (name == "__metadata__") {
        check_metadata(value);
      } else {
        entries.push_back(parse_entry(name, value, data_size));
      }
    }
  } catch (const json::Error& error) {
    fail(path, (name.empty() ? "its header: " : "in its header " + name + " ") + std::string(error.what()));
  }
  // Empty tensors come before the one that starts where they stand.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      fail(path, "tensor " + entry.name + " starts at byte " + std::to_string(entry.begin) +
                     " of the data, " + (entry.begin < covered ? "inside another tensor" : "after a gap") +
                     " (expected " + std::to_string(covered) + ")");
    }
    covered = entry.end;
  }
  if (covered != data_size) {
    fail(path, "its data has " + std::to_string(data_size) + " bytes, but its header describes " +
                   std::to_string(covered));
  }
  return entries;
}

}  // namespace

TensorMap read_safetensors(const std::string& path, const Stop& stop) {
  const auto file = std::make_shared<const platform::MappedFile>(path);
  const std::span<const std::byte> bytes = file->bytes();
  uint64_t header_size = 0;
  if (bytes.size() < sizeof(header_size)) {
    fail(path, "it has " + std::to_string(bytes.size()) + " bytes, too few for a header");
  }
  for (size_t i = 0; i < sizeof(header_size); ++i) {  // little-endian on any machine
    header_size |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  const std::span<const std::byte> rest = bytes.subspan(sizeof(header_size));
  if (header_size > rest.size()) {
    fail(path, "its header should have " + std::to_string(header_size) + " bytes, but only " +
                   std::to_string(rest.size()) + " are left in the file");
  }
  if (header_size > kMaxHeaderBytes) {
    fail(path, "its header has " + std::to_string(header_size) + " bytes, more than the " +
                   std::to_string(kMaxHeaderBytes) + " allowed");
  }
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), header_size);
  const std::span<const std::byte> data = rest.subspan(header_size);

  TensorMap tensors;
  for (const Entry& entry : parse_header(path, header, data.size())) {
    stop.check();
    void* from = const_cast<std::byte*>(data.data() + entry.begin);
    // The mapping lasts until the last tensor that lies in it is gone.
    at::Tensor tensor = at::from_blob(
        from, entry.shape, [file](void*) {}, entry.dtype);
    // A header may have any length, and so put elements where no element of this size may lie.
    const bool aligned = reinterpret_cast<uintptr_t>(from) % tensor.element_size() == 0;
    if (!aligned) {
      tensor = at::empty(entry.shape, entry.dtype);
      // Of no elements a tensor has no address.
      if (tensor.numel() > 0) std::memcpy(tensor.mutable_data_ptr(), from, entry.end - entry.begin);
    }
    tensors.emplace(entry.name, std::move(tensor));
  }
  return tensors;
}

}  // namespace electra
