// What the core throws; core.cpp turns it into a code and a sentence.
#pragma once

#include <c10/util/Exception.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core.h"

namespace electra {

class CoreError : public std::runtime_error {
 public:
  // `code` is one of the ELECTRA_* codes of core.h.
  CoreError(int32_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int32_t code() const noexcept { return code_; }

 private:
  int32_t code_;
};

// What torch says, without its interpreter's traceback, of which only the last line says what happened.
inline std::string without_traceback(std::string text) {
  constexpr std::string_view kMarker = "\nRuntimeError: ";
  if (const size_t last = text.rfind(kMarker); last != std::string::npos)
    text.erase(0, last + kMarker.size());
  return text;
}

// The same of any exception, without a C++ backtrace either.
inline std::string reason_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  return without_traceback(torch_error != nullptr ? torch_error->what_without_backtrace() : error.what());
}

// Asked between layers and between tensors, so that a shutdown returns within about one layer.
class Stop {
 public:
  explicit Stop(const electra_stop* stop) : stop_(stop) {}
  bool requested() const {
    return stop_ != nullptr && stop_->requested != nullptr && stop_->requested(stop_->context) != 0;
  }
  void check() const {
    if (requested()) throw CoreError(ELECTRA_STOPPED, "The model was stopped.");
  }

 private:
  const electra_stop* stop_;
};

}  // namespace electra
