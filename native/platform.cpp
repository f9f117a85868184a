#include "platform.h"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <system_error>

#ifdef _WIN32
#include "windows_api.h"
#else
#include <dlfcn.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <link.h>
#include <malloc.h>
#endif
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace electra::platform {

namespace {

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
  // The library's own folder is searched for what it needs, and never the current folder. That takes a whole
  // path, with backslashes.
  const std::filesystem::path file = utf8_path(path).make_preferred();
  const DWORD own_folder = file.is_absolute() ? LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR : 0;
  HMODULE module = LoadLibraryExW(file.c_str(), nullptr, own_folder | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
  if (module != nullptr) return Library(module);
  const Error error = last_error(path + " cannot be opened, or a library that it needs is missing");
  if (std::error_code none; file.is_absolute() && !std::filesystem::exists(file, none)) {
    throw Error(path + " does not exist", true);
  }
  throw error;
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

Pages::Pages(size_t bytes) {
  void* address = VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (address == nullptr) throw std::bad_alloc();
  bytes_ = {static_cast<std::byte*>(address), bytes};
}

Pages::~Pages() { VirtualFree(bytes_.data(), 0, MEM_RELEASE); }

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

Pages::Pages(size_t bytes) {
  const auto map = [](size_t size) {
    void* address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) throw std::bad_alloc();
    return static_cast<std::byte*>(address);
  };
#ifdef MADV_HUGEPAGE
  if (bytes >= kHuge) {
    bytes = (bytes + kHuge - 1) / kHuge * kHuge;
    // The system aligns to small pages only: map more, and give back what is too much on either side.
    std::byte* const mapped = map(bytes + kHuge);
    std::byte* const start = mapped + (kHuge - reinterpret_cast<uintptr_t>(mapped) % kHuge) % kHuge;
    if (start != mapped) munmap(mapped, start - mapped);
    munmap(start + bytes, mapped + kHuge - start);
    madvise(start, bytes, MADV_HUGEPAGE);  // where it is refused, small pages do
    bytes_ = {start, bytes};
    return;
  }
#endif
  bytes_ = {map(bytes), bytes};
}

Pages::~Pages() { munmap(bytes_.data(), bytes_.size()); }

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
