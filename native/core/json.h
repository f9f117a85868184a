// A strict JSON reader for what comes from outside: config.json and the header of a safetensors file. A
// header may be hostile, so that depth and size are bounded, and a key may stand only once in its object.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace electra::json {

// What is wrong, and at which byte.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Value;
using Array = std::vector<Value>;
using Object = std::map<std::string, Value, std::less<>>;

class Value {
 public:
  // Whole numbers that fit are int64_t, all others double.
  using Variant = std::variant<std::nullptr_t, bool, int64_t, double, std::string, Array, Object>;

  template <typename T>
  explicit Value(T value) : value_(std::in_place_type<T>, std::move(value)) {}

  template <typename T>
  const T* get() const noexcept {
    return std::get_if<T>(&value_);
  }
  bool is_null() const noexcept { return std::holds_alternative<std::nullptr_t>(value_); }

 private:
  Variant value_;
};

// The value under `key`, or nullptr where it is absent.
const Value* find(const Object& object, std::string_view key);

Value parse(std::string_view text, size_t max_bytes);

// Whether `text` is UTF-8, as strictly as a string must be.
bool is_utf8(std::string_view text);

}  // namespace electra::json
