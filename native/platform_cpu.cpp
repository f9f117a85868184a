// What platform.h tells of the CPU, and of how much of it this process may use.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "platform.h"

#ifdef _WIN32
#include <bit>

#include "windows_api.h"
#endif
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
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

}  // namespace electra::platform
