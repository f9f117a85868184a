// Everything that differs between operating systems, in one place: opening libraries, mapping files, CPU
// features, and how many CPUs this process may use. platform_cpu.cpp, which tells of CPUs, and platform.cpp
// are the only files with POSIX and Windows code. Both halves of the addon compile them; they know neither
// Node nor torch.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace electra::platform {

// What the operating system said, as one sentence; `not_found` tells a missing file from other faults.
class Error : public std::runtime_error {
 public:
  Error(const std::string& what, bool not_found) : std::runtime_error(what), not_found_(not_found) {}
  bool not_found() const noexcept { return not_found_; }

 private:
  bool not_found_;
};

// A shared library, opened for the life of the process: torch's static state must never be torn down under a
// running thread, so there is no close.
class Library {
 public:
  static Library open(const std::string& path);
  void* symbol(const char* name) const;
  // The path of a library that this process has open, whoever opened it; "" where it has none of that name,
  // or where the system does not tell (it does with glibc).
  static std::string where_open(const std::string& name);

 private:
  explicit Library(void* handle) : handle_(handle) {}
  void* handle_;
};

// The file name of a library on this system: "torch" gives libtorch.so, libtorch.dylib or torch.dll.
std::string library_file(const std::string& name);

// The folder of the library or program that holds this address; "" where it cannot be told.
std::string folder_of(const void* address);

// A whole file mapped for reading. Throws std::bad_alloc where there is no room for it.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

// Memory straight from the system, so that the C library's heap has no part in it and keeps nothing of it:
// zero, and not resident before it is written. Throws std::bad_alloc where there is no room for it.
class Pages {
 public:
  // A huge page is as much for the CPU to look up as one of 4 kB, and hardware fetches ahead only within a
  // page.
  static constexpr size_t kHuge = size_t{2} << 20;

  // From kHuge on, in huge pages where Linux has them free.
  explicit Pages(size_t bytes);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

struct Cpu {
  std::string model;
  std::vector<std::string> features;  // of avx2, avx512f, avx512_vnni, avx512_bf16, amx_bf16
  int physical_cores = 1;
  int affinity = 1;
  std::optional<int> cgroup_quota;  // CPUs, rounded up

  bool has(const char* feature) const;
};

// Read anew at each call: affinity and quota can change while a process runs. `root` stands before /proc and
// /sys, so that tests can lay out a machine in a folder. With ELECTRA_CPU_ISA=avx2 in the environment no
// feature above avx2 is seen, with ELECTRA_CPU_ISA=none not even that.
Cpu cpu(const std::string& root = {});

// Names the calling thread, as `top -H` and debuggers show it; at most 15 characters are kept.
void name_thread(const std::string& name);

// Gives what was freed back to the system, where the C library would keep it: glibc keeps a whole model's
// weights, once it has seen some freed. A no-op where the C library cannot do that.
void release_freed_memory();

// Sets a variable of the process's environment where it has none.
void set_default_variable(const char* name, const char* value);

// For a process that must exit while a thread of it still computes: the exit keeps its code, but runs no
// static destructor under that thread. A no-op where the C library cannot do that.
void exit_without_destructors();

}  // namespace electra::platform
