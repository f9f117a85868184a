// A TorchScript archive, opened but not run: either the bytes of the file, or, where the first byte is odd,
// its extra files.
#include "core/checkpoint/archive.h"

#include "fuzz/fuzz.h"

using namespace electra;

namespace {

std::string built(fuzz::Input& input) {
  const std::string manifest(input.text()), config(input.text()), name(input.text());
  return fuzz::zip({{"constants.pkl", "\x80\x02).\n"},
                    {"extra/electra_classifier.json", manifest},
                    {"extra/config.json", config},
                    {"extra/" + name, std::string(input.rest())},
                    {"version", "3\n"}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static fuzz::File file;
  fuzz::Input input(data, size);
  const bool records = (input.number<uint8_t>() & 1) != 0;
  const std::string bytes = records ? built(input) : std::string(input.rest());
  const std::string& path = file.write(bytes);
  fuzz::refuses_or([&] {
    const ArchiveContents contents = read_archive(path);
    fuzz::require(!contents.own || contents.files.contains("electra_classifier.json"), "ours has a manifest");
  });
  return 0;
}
