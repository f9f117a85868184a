#include "platform.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <sstream>
#include <system_error>
#include <thread>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>

#include <bit>
#else
#include <dlfcn.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <link.h>
#endif
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#endif
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define ELECTRA_X86_64
#ifdef _MSC_VER
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace electra::platform {

namespace {

// ── CPU features ──────────────────────────────────────────────────────────────────────────────────────────

#ifdef ELECTRA_X86_64

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero where the CPU has no such leaf.
Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
#ifdef _MSC_VER
  int out[4];
  __cpuid(out, static_cast<int>(leaf & 0x80000000u));
  if (static_cast<uint32_t>(out[0]) < leaf) return r;
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {static_cast<uint32_t>(out[0]), static_cast<uint32_t>(out[1]), static_cast<uint32_t>(out[2]),
       static_cast<uint32_t>(out[3])};
#else
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
#endif
  return r;
}

// Which register states the operating system saves: without that an instruction set must not be used.
uint64_t saved_states() {
  if (((cpuid(1).ecx >> 27) & 1) == 0) return 0;
#ifdef _MSC_VER
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

// Linux hands out the AMX tile state on request only, to the whole process; without it, AMX faults.
bool amx_permitted() {
#ifdef __linux__
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return true;
#endif
}

std::vector<std::string> cpu_features() {
  constexpr uint64_t kAvx = 0x6, kAvx512 = 0xe6, kAmx = 0x60000;
  const uint64_t states = saved_states();
  const Registers seven = cpuid(7), seven_one = cpuid(7, 1);
  const char* isa = std::getenv("ELECTRA_CPU_ISA");
  const bool none = isa != nullptr && std::strcmp(isa, "none") == 0;
  const bool avx2_only = isa != nullptr && std::strcmp(isa, "avx2") == 0;
  const auto bits = [](uint32_t word, std::initializer_list<int> places) {
    return std::all_of(places.begin(), places.end(),
                       [word](int place) { return ((word >> place) & 1) != 0; });
  };
  // With AVX2: FMA and F16C. With AVX-512 F: DQ, BW and VL, which only the first many-core Xeons lack.
  const bool avx2 = !none && (states & kAvx) == kAvx && bits(seven.ebx, {5}) && bits(cpuid(1).ecx, {12, 29});
  const bool avx512 =
      avx2 && !avx2_only && (states & kAvx512) == kAvx512 && bits(seven.ebx, {16, 17, 30, 31});
  const bool amx = avx512 && (states & kAmx) == kAmx && bits(seven.edx, {22, 24, 25}) && amx_permitted();

  std::vector<std::string> features;
  if (avx2) features.emplace_back("avx2");
  if (avx512) features.emplace_back("avx512f");
  if (avx512 && ((seven.ecx >> 11) & 1) != 0) features.emplace_back("avx512_vnni");
  if (avx512 && ((seven_one.eax >> 5) & 1) != 0) features.emplace_back("avx512_bf16");
  if (amx) features.emplace_back("amx_bf16");
  return features;
}

std::string cpu_model() {
  char brand[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i);
    const uint32_t words[4] = {r.eax, r.ebx, r.ecx, r.edx};
    std::memcpy(brand + 16 * i, words, sizeof(words));
  }
  std::string model = brand;
  model.erase(0, model.find_first_not_of(' '));
  model.erase(model.find_last_not_of(' ') + 1);
  return model;
}

#else

std::vector<std::string> cpu_features() { return {}; }

std::string cpu_model() {
#ifdef __APPLE__
  char brand[128] = {};
  size_t size = sizeof(brand) - 1;
  if (sysctlbyname("machdep.cpu.brand_string", brand, &size, nullptr, 0) == 0) return brand;
#endif
  return "arm64";
}

#endif

// ── CPUs that this process may use ────────────────────────────────────────────────────────────────────────

#ifdef __linux__

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<int64_t> number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// A kernel CPU list such as "0-3,8,10-11".
std::vector<int64_t> cpu_list(const std::string& text) {
  constexpr int64_t kMost = 1 << 16;
  std::vector<int64_t> cpus;
  std::istringstream ranges(text);
  for (std::string range; std::getline(ranges, range, ',');) {
    const auto first = number(range);
    const size_t dash = range.find('-');
    const auto last = dash == std::string::npos ? first : number(range.substr(dash + 1));
    if (!first || !last) continue;
    for (int64_t cpu = *first; cpu <= std::min(*last, kMost); ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

int physical_cores(const std::filesystem::path& root) {
  const std::filesystem::path cpus = root / "sys/devices/system/cpu";
  std::set<std::string> cores;  // hyper-threads of one core name the same siblings
  for (const int64_t cpu : cpu_list(first_line(cpus / "online"))) {
    const std::string siblings =
        first_line(cpus / ("cpu" + std::to_string(cpu)) / "topology/thread_siblings_list");
    cores.insert(siblings.empty() ? std::to_string(cpu) : siblings);
  }
  if (cores.empty()) return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return static_cast<int>(cores.size());
}

int affinity() {
  // The kernel refuses a set smaller than its own; 1024 CPUs fit nearly everywhere.
  for (size_t cpus = 1024; cpus <= (1 << 20); cpus *= 2) {
    std::vector<unsigned long> words(cpus / (8 * sizeof(unsigned long)));
    auto* set = reinterpret_cast<cpu_set_t*>(words.data());
    const size_t bytes = words.size() * sizeof(unsigned long);
    if (sched_getaffinity(0, bytes, set) == 0) return std::max(1, CPU_COUNT_S(bytes, set));
    if (errno != EINVAL) break;
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// CPUs that one cgroup folder allows, rounded up.
std::optional<int> quota_of(const std::filesystem::path& group) {
  std::istringstream v2(first_line(group / "cpu.max"));
  std::string quota_text, period_text;
  if (!(v2 >> quota_text >> period_text)) {
    quota_text = first_line(group / "cpu.cfs_quota_us");
    period_text = first_line(group / "cpu.cfs_period_us");
  }
  const auto quota = number(quota_text), period = number(period_text);  // no quota: "max" or -1
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<int>(std::min<int64_t>(1 << 20, 1 + (*quota - 1) / *period));
}

// The least quota from a group up to its hierarchy's mount. In a container the group's path may be the
// host's, which is not there; the walk ends at the mount in any case, and that is the container's own group.
std::optional<int> least_quota(const std::filesystem::path& mount, const std::string& group) {
  std::optional<int> least;
  std::filesystem::path path = std::filesystem::path(group).relative_path().lexically_normal();
  for (;; path = path.parent_path()) {
    const auto quota = quota_of(mount / path);
    if (quota) least = std::min(*quota, least.value_or(*quota));
    if (path.empty()) return least;
  }
}

std::optional<int> cgroup_quota(const std::filesystem::path& root) {
  const std::filesystem::path mount = root / "sys/fs/cgroup";
  std::optional<int> least = quota_of(mount);
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b" is v2, "4:cpu,cpuacct:/a/b" v1
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string group = line.substr(second + 1);
    std::vector<std::filesystem::path> mounts;
    if (controllers.empty()) {
      mounts = {mount, mount / "unified"};
    } else if ((',' + controllers + ',').find(",cpu,") != std::string::npos) {
      mounts = {mount / controllers, mount / "cpu"};
    }
    for (const auto& hierarchy : mounts) {
      const auto quota = least_quota(hierarchy, group);
      if (quota) least = std::min(*quota, least.value_or(*quota));
    }
  }
  return least;
}

#elif defined(__APPLE__)

int physical_cores(const std::filesystem::path&) {
  int cores = 0;
  size_t size = sizeof(cores);
  if (sysctlbyname("hw.physicalcpu", &cores, &size, nullptr, 0) != 0) return 1;
  return std::max(1, cores);
}

int affinity() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

std::optional<int> cgroup_quota(const std::filesystem::path&) { return std::nullopt; }

#else

int physical_cores(const std::filesystem::path&) {
  DWORD bytes = 0;
  GetLogicalProcessorInformation(nullptr, &bytes);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> entries(bytes /
                                                            sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (!GetLogicalProcessorInformation(entries.data(), &bytes)) return 1;
  const auto cores = std::count_if(entries.begin(), entries.end(), [](const auto& entry) {
    return entry.Relationship == RelationProcessorCore;
  });
  return std::max(1, static_cast<int>(cores));
}

int affinity() {
  DWORD_PTR process = 0, system = 0;
  if (!GetProcessAffinityMask(GetCurrentProcess(), &process, &system)) return 1;
  return std::max(1, std::popcount(static_cast<uint64_t>(process)));
}

std::optional<int> cgroup_quota(const std::filesystem::path&) { return std::nullopt; }

#endif

#ifdef _WIN32

std::filesystem::path utf8_path(const std::string& path) {
  return std::filesystem::path(std::u8string(path.begin(), path.end())).make_preferred();
}

Error last_error(const std::string& what) {
  const DWORD code = GetLastError();
  const bool not_found = code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND;
  return Error(what + ": " + std::system_category().message(static_cast<int>(code)), not_found);
}

struct Handle {
  HANDLE value;
  explicit Handle(HANDLE handle) : value(handle) {}
  ~Handle() {
    if (value != nullptr && value != INVALID_HANDLE_VALUE) CloseHandle(value);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

#else

Error last_error(const std::string& what) {
  const int code = errno;
  return Error(what + ": " + std::generic_category().message(code), code == ENOENT || code == ENOTDIR);
}

struct FileDescriptor {
  int value;
  explicit FileDescriptor(int descriptor) : value(descriptor) {}
  ~FileDescriptor() {
    if (value >= 0) ::close(value);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
};

#endif

}  // namespace

bool Cpu::has(const char* feature) const {
  return std::find(features.begin(), features.end(), feature) != features.end();
}

Cpu cpu(const std::string& root) {
  Cpu cpu;
  const std::filesystem::path top = root.empty() ? "/" : root;
  cpu.model = cpu_model();
  cpu.features = cpu_features();
  cpu.physical_cores = physical_cores(top);
  cpu.affinity = affinity();
  cpu.cgroup_quota = cgroup_quota(top);
  return cpu;
}

// ── Libraries, files, threads ─────────────────────────────────────────────────────────────────────────────

std::string library_file(const std::string& name) {
#if defined(_WIN32)
  return name + ".dll";
#elif defined(__APPLE__)
  return "lib" + name + ".dylib";
#else
  return "lib" + name + ".so";
#endif
}

void release_freed_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

std::string folder_of(const void* address) {
  std::filesystem::path path;
#ifdef _WIN32
  HMODULE module = nullptr;
  constexpr DWORD kFlags =
      GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  wchar_t name[32768];
  if (!GetModuleHandleExW(kFlags, static_cast<LPCWSTR>(address), &module)) return "";
  path = std::wstring(name, GetModuleFileNameW(module, name, 32768));
#else
  Dl_info info = {};
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "";
  path = info.dli_fname;
#endif
  const std::u8string folder = path.parent_path().u8string();
  return std::string(folder.begin(), folder.end());
}

void exit_without_destructors() {
#ifdef __GLIBC__
  // Handlers run last in, first out, so this one comes before the destructors of every library open by now.
  on_exit([](int status, void*) { _exit(status); }, nullptr);
#endif
}

#ifdef _WIN32

Library Library::open(const std::string& path) {
  // The library's own folder is searched for what it needs, and never the current folder.
  const DWORD search = LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS;
  HMODULE module = LoadLibraryExW(utf8_path(path).c_str(), nullptr, search);
  if (module == nullptr) throw last_error(path + " cannot be opened, or a library that it needs is missing");
  return Library(module);
}

std::string Library::where_open(const std::string&) { return {}; }

void* Library::symbol(const char* name) const {
  void* address = reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(handle_), name));
  if (address == nullptr) throw Error(std::string("the library has no symbol ") + name, false);
  return address;
}

MappedFile::MappedFile(const std::string& path) {
  const Handle file(CreateFileW(utf8_path(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE,
                                nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr));
  if (file.value == INVALID_HANDLE_VALUE) {
    if (std::error_code error; std::filesystem::is_directory(utf8_path(path), error)) {
      throw Error(path + " is a folder, not a file", false);
    }
    throw last_error(path + " cannot be opened");
  }
  LARGE_INTEGER size;
  if (!GetFileSizeEx(file.value, &size)) throw last_error(path + " cannot be read");
  if (size.QuadPart == 0) return;  // an empty file cannot be mapped
  const Handle mapping(CreateFileMappingW(file.value, nullptr, PAGE_READONLY, 0, 0, nullptr));
  if (mapping.value == nullptr) throw last_error(path + " cannot be mapped");
  const void* address = MapViewOfFile(mapping.value, FILE_MAP_READ, 0, 0, 0);
  if (address == nullptr) throw last_error(path + " cannot be mapped");
  bytes_ = {static_cast<const std::byte*>(address), static_cast<size_t>(size.QuadPart)};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) UnmapViewOfFile(bytes_.data());
}

void set_default_variable(const char* name, const char* value) {
  if (std::getenv(name) == nullptr) _putenv_s(name, value);
}

void name_thread(const std::string& name) {
  SetThreadDescription(GetCurrentThread(), std::wstring(name.begin(), name.end()).c_str());
}

#else

Library Library::open(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return Library(handle);
  const char* said = dlerror();
  std::string reason = said == nullptr ? "no reason given" : said;
  // glibc: "libgomp.so.1: cannot open shared object file: No such file or directory"
  const size_t missing = reason.find(": cannot open shared object file: No such file");
  if (missing == std::string::npos) {
    if (reason.starts_with(path + ": ")) reason.erase(0, path.size() + 2);
    throw Error(path + " cannot be opened: " + reason, false);
  }
  const std::string library = reason.substr(0, missing);
  if (library == path) throw Error(path + " does not exist", true);
  throw Error(path + " cannot be opened because " + library + ", which it needs, is missing", false);
}

std::string Library::where_open(const std::string& name) {
#ifdef __GLIBC__
  void* handle = dlopen(name.c_str(), RTLD_LAZY | RTLD_NOLOAD);
  link_map* map = nullptr;
  if (handle != nullptr && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0) return map->l_name;
#else
  static_cast<void>(name);
#endif
  return {};
}

void* Library::symbol(const char* name) const {
  void* address = dlsym(handle_, name);
  if (address == nullptr) throw Error(std::string("the library has no symbol ") + name, false);
  return address;
}

MappedFile::MappedFile(const std::string& path) {
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever; files do not mind.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.value < 0) throw last_error(path + " cannot be opened");
  struct stat status = {};
  if (fstat(file.value, &status) != 0) throw last_error(path + " cannot be read");
  if (S_ISDIR(status.st_mode)) throw Error(path + " is a folder, not a file", false);
  if (!S_ISREG(status.st_mode)) throw Error(path + " is not a regular file", false);
  if (status.st_size == 0) return;  // an empty file cannot be mapped
  const auto size = static_cast<size_t>(status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (address == MAP_FAILED) {
    if (errno == ENOMEM) throw std::bad_alloc();
    throw last_error(path + " cannot be mapped");
  }
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void set_default_variable(const char* name, const char* value) { setenv(name, value, 0); }

void name_thread(const std::string& name) {
#ifdef __APPLE__
  pthread_setname_np(name.c_str());
#else
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());  // Linux refuses a longer name
#endif
}

#endif

}  // namespace electra::platform
