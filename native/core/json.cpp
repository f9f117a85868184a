#include "core/json.h"

#include <charconv>
#include <cmath>
#include <locale>
#include <sstream>

namespace electra::json {

namespace {

constexpr int kMaxDepth = 64;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  bool is_utf8() {
    std::string ignored;
    try {
      while (!done()) {
        const auto c = static_cast<unsigned char>(next());
        if (c >= 0x80) parse_utf8(c, ignored);
      }
      return true;
    } catch (const Error&) {
      return false;
    }
  }

  Value document() {
    Value value = parse_value(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the end of the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(what + " at byte " + std::to_string(at_));
  }

  bool done() const { return at_ == text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }

  char next() {
    if (done()) fail("the text ends early");
    return text_[at_++];
  }

  void skip_space() {
    while (!done() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }

  void expect(char c) {
    if (done()) fail("the text ends early");
    if (peek() != c) fail(std::string("expected '") + c + "'");
    ++at_;
  }

  void expect_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) fail("expected a value");
    at_ += word.size();
  }

  Value parse_value(int depth) {
    if (depth > kMaxDepth) fail("nested deeper than " + std::to_string(kMaxDepth) + " levels");
    skip_space();
    switch (peek()) {
      case '{':
        return Value(parse_object(depth));
      case '[':
        return Value(parse_array(depth));
      case '"':
        return Value(parse_string());
      case 't':
        expect_word("true");
        return Value(true);
      case 'f':
        expect_word("false");
        return Value(false);
      case 'n':
        expect_word("null");
        return Value(nullptr);
      default:
        return parse_number();
    }
  }

  Object parse_object(int depth) {
    Object object;
    expect('{');
    skip_space();
    if (peek() == '}') return ++at_, object;
    for (;;) {
      skip_space();
      std::string key = parse_string();
      skip_space();
      expect(':');
      Value value = parse_value(depth + 1);
      const auto [place, added] = object.try_emplace(std::move(key), std::move(value));
      if (!added) fail("the key \"" + place->first + "\" stands twice in one object, the second time");
      skip_space();
      if (peek() == '}') return ++at_, object;
      expect(',');
    }
  }

  Array parse_array(int depth) {
    Array array;
    expect('[');
    skip_space();
    if (peek() == ']') return ++at_, array;
    for (;;) {
      array.push_back(parse_value(depth + 1));
      skip_space();
      if (peek() == ']') return ++at_, array;
      expect(',');
    }
  }

  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  void skip_digits() {
    if (!is_digit(peek())) fail("expected a digit");
    while (is_digit(peek())) ++at_;
  }

  Value parse_number() {
    const size_t start = at_;
    if (peek() == '-') ++at_;
    if (!is_digit(peek())) fail("expected a value");
    if (peek() == '0') {
      ++at_;
    } else {
      skip_digits();
    }
    bool whole = true;
    if (peek() == '.') {
      whole = false;
      ++at_;
      skip_digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      whole = false;
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      skip_digits();
    }
    const std::string_view digits = text_.substr(start, at_ - start);
    if (whole) {
      int64_t integer = 0;
      if (std::from_chars(digits.data(), digits.data() + digits.size(), integer).ec == std::errc()) {
        return Value(integer);
      }
    }
    // Not strtod: it follows the process's locale, where a comma may stand for the point.
    std::istringstream stream{std::string(digits)};
    stream.imbue(std::locale::classic());
    double number = 0;
    stream >> number;
    if (!std::isfinite(number)) fail("a number too large");
    return Value(number);
  }

  std::string parse_string() {
    expect('"');
    std::string string;
    for (;;) {
      const auto c = static_cast<unsigned char>(next());
      if (c == '"') return string;
      if (c < 0x20) fail("a control character in a string");
      if (c == '\\') {
        parse_escape(string);
      } else if (c < 0x80) {
        string += static_cast<char>(c);
      } else {
        parse_utf8(c, string);
      }
    }
  }

  void parse_escape(std::string& string) {
    static constexpr std::string_view kEscapes = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    const char c = next();
    if (c != 'u') {
      const size_t index = kEscapes.find(c);
      if (index == std::string_view::npos) fail("an unknown escape");
      string += kMeanings[index];
      return;
    }
    uint32_t code = parse_hex4();
    if (code >= 0xdc00 && code <= 0xdfff) fail("half a surrogate pair");
    if (code >= 0xd800 && code <= 0xdbff) {
      if (next() != '\\' || next() != 'u') fail("half a surrogate pair");
      const uint32_t low = parse_hex4();
      if (low < 0xdc00 || low > 0xdfff) fail("half a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(code, string);
  }

  uint32_t parse_hex4() {
    uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = next();
      uint32_t digit = 0;
      if (std::from_chars(&c, &c + 1, digit, 16).ec != std::errc()) fail("expected four hexadecimal digits");
      code = code * 16 + digit;
    }
    return code;
  }

  static void append_utf8(uint32_t code, std::string& string) {
    const auto put = [&string](uint32_t byte) { string += static_cast<char>(byte); };
    const auto put_tail = [&put, code](int shift) { put(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xc0 | (code >> 6));
      put_tail(0);
    } else if (code < 0x10000) {
      put(0xe0 | (code >> 12));
      put_tail(6);
      put_tail(0);
    } else {
      put(0xf0 | (code >> 18));
      put_tail(12);
      put_tail(6);
      put_tail(0);
    }
  }

  // Overlong forms, surrogates and code points past U+10FFFF are not UTF-8.
  void parse_utf8(unsigned char lead, std::string& string) {
    const int tail = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4) fail("a byte that is not UTF-8");
    uint32_t code = lead & (0x3fu >> tail);
    for (int i = 0; i < tail; ++i) {
      const auto c = static_cast<unsigned char>(next());
      if ((c & 0xc0) != 0x80) fail("a byte that is not UTF-8");
      code = (code << 6) | (c & 0x3fu);
    }
    static constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[tail] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      fail("a byte that is not UTF-8");
    }
    append_utf8(code, string);
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

const Value* find(const Object& object, std::string_view key) {
  const auto place = object.find(key);
  return place == object.end() ? nullptr : &place->second;
}

Value parse(std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    throw Error(std::to_string(text.size()) + " bytes, more than the " + std::to_string(max_bytes) +
                " allowed");
  }
  return Parser(text).document();
}

bool is_utf8(std::string_view text) { return Parser(text).is_utf8(); }

}  // namespace electra::json
