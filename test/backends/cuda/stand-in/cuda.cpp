/*
 * A stand-in libcuda, so that all of a CUDA backend runs where there is no GPU: the same calls, the same handles, memory and queues; kernels
 * are what the stand-in libnvrtc has compiled, run on the CPU (block.h). It is as strict as it can be, and as lazy as CUDA may be:
 *
 * - Work is queued and done late: when it is waited for, and a little whenever an event is asked about. Copies from the host read
 *   its memory then, and copies to the host write it then, so that memory that is used again too early is seen.
 * - Device memory is poisoned with NaN when it is allocated and when it is freed, and has guards on both sides; every copy has to lie in
 *   one allocation. What goes wrong while work is done is told by the next calls, and ends the context, as with CUDA.
 *
 * For tests it has some functions more:
 *
 *   standin_set_order(n)                  the order of threads and blocks: 0 forwards, 1 backwards, else a random one by this seed
 *   standin_set_attribute(number, value)  a device attribute (CUdevice_attribute)
 *   standin_set_devices(n)                how many devices there are
 *   standin_fail(function, code, after)   makes a call of that function return this code, after so many that go well
 *   standin_live_allocations(), standin_live_bytes(), standin_live_pinned(), standin_live_handles()   what was not given back
 *   standin_pending()                     work that is queued
 *   standin_blocks(), standin_launches()  blocks and kernels that were run
 *   standin_reset()                       all of this as at the start; memory and handles stay
 */
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

#include "block.h"
#include "cubin.h"

namespace {

enum Code {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  NO_DEVICE = 100,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  NO_BINARY_FOR_GPU = 209,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_FAILED = 719,
  STREAM_CAPTURE_UNSUPPORTED = 900,
  STREAM_CAPTURE_INVALIDATED = 901,
};

const std::map<int, const char*> NAMES = {
    {SUCCESS, "CUDA_SUCCESS"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
    {NOT_READY, "CUDA_ERROR_NOT_READY"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
    {STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
};

constexpr size_t GUARD_BYTES = 256;
constexpr unsigned char POISON = 0xff, GUARD = 0xa5;
constexpr uint64_t TOTAL_MEMORY = 4ull << 30;
/* Of CUdevice_attribute. */
constexpr int MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76;
constexpr int BLOCKS_PER_MULTIPROCESSOR = 2;

struct Event {
  bool isDone = true;
  double milliseconds = 0;
};

/* One piece of work; false where it went wrong. */
using Work = std::function<int()>;

struct Graph {
  std::vector<Work> works;
};

struct Module {
  void* handle;
  Text text;
  std::string name;
  uint32_t parameterBytes;
};

struct Stream {
  Graph* capturing = nullptr;
};

struct Failure {
  int code, after;
};

/* Live allocations by address. */
std::map<uint64_t, size_t> allocations;
std::map<void*, size_t> pinned;
std::deque<Work> queue;
std::map<std::string, Failure> failures;
std::map<int, int> attributes = {{MULTIPROCESSORS, 2}, {MAJOR, 9}, {MINOR, 0}};
int devices = 1;
int broken = SUCCESS;
int capturing = 0;
bool isInitialized = false, isCurrent = false;
uint32_t order = getenv("STANDIN_ORDER") ? atoi(getenv("STANDIN_ORDER")) : 0;
uint64_t handles = 0, blocksRun = 0, launchesRun = 0;

double now() {
  using namespace std::chrono;
  return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}

/* Whether these bytes lie in one allocation. */
bool isDevice(uint64_t address, size_t bytes) {
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return false;
  const auto [begin, size] = *--next;
  return address + bytes <= begin + size;
}

size_t rounded(size_t bytes) { return (bytes + 255) / 256 * 256; }

bool guardsHold() {
  static const std::vector<char> guard(GUARD_BYTES, static_cast<char>(GUARD));
  for (const auto& [address, bytes] : allocations) {
    const auto* begin = reinterpret_cast<const char*>(address);
    const size_t end = rounded(bytes);
    if (memcmp(begin - GUARD_BYTES, guard.data(), GUARD_BYTES) == 0 && memcmp(begin + bytes, guard.data(), end - bytes) == 0 && memcmp(begin + end, guard.data(), GUARD_BYTES) == 0) continue;
    fprintf(stderr, "stand-in: a kernel wrote beside %zu bytes of device memory\n", bytes);
    return false;
  }
  return true;
}

/* Does the first piece of work that is queued. */
void advance() {
  Work work = std::move(queue.front());
  queue.pop_front();
  if (broken != SUCCESS) return;
  broken = work();
}

int drain() {
  while (!queue.empty()) advance();
  return broken;
}

int enqueue(Stream* stream, Work work) {
  if (!stream) return INVALID_HANDLE;
  if (stream->capturing) stream->capturing->works.push_back(std::move(work));
  else queue.push_back(std::move(work));
  return SUCCESS;
}

int copy(uint64_t to, uint64_t from, size_t bytes, bool toDevice, bool fromDevice) {
  if ((toDevice && !isDevice(to, bytes)) || (fromDevice && !isDevice(from, bytes))) {
    fprintf(stderr, "stand-in: a copy of %zu bytes beside device memory\n", bytes);
    return ILLEGAL_ADDRESS;
  }
  memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
  return SUCCESS;
}

int launch(const Module& module, uint32_t grid, uint32_t threads, const std::vector<char>& parameter) {
  launchesRun++;
  const Text& text = module.text;
  text.grid[0] = grid;
  text.threads[0] = threads;
  for (uint32_t block : orderOf(grid, order, 0)) {
    blocksRun++;
    if (!runBlock(text, parameter.data(), block, threads, order)) return LAUNCH_FAILED;
  }
  return guardsHold() ? SUCCESS : ILLEGAL_ADDRESS;
}

template <typename T>
T* make() {
  handles++;
  return new T();
}

template <typename T>
int destroy(T* handle) {
  if (!handle) return INVALID_HANDLE;
  handles--;
  delete handle;
  return SUCCESS;
}

/* What every call begins with: failures that tests ask for, and those of earlier work. */
int enter(const char* function, bool needsContext) {
  auto failure = failures.find(function);
  if (failure != failures.end() && failure->second.after-- == 0) {
    const int code = failure->second.code;
    failures.erase(failure);
    if (code >= ILLEGAL_ADDRESS && code < 800) broken = code;
    return code;
  }
  if (!isInitialized) return NOT_INITIALIZED;
  if (needsContext && !isCurrent) return INVALID_CONTEXT;
  return needsContext ? broken : SUCCESS;
}

}  // namespace

#define ENTER() \
  if (const int code = enter(__func__, true)) return code
#define ENTER_WITHOUT_CONTEXT() \
  if (const int code = enter(__func__, false)) return code

extern "C" {

int cuInit(unsigned) {
  isInitialized = true;
  ENTER_WITHOUT_CONTEXT();
  return devices > 0 ? SUCCESS : NO_DEVICE;
}

int cuDriverGetVersion(int* version) {
  *version = 12040;
  ENTER_WITHOUT_CONTEXT();
  return SUCCESS;
}

int cuGetErrorName(int code, const char** name) {
  const auto found = NAMES.find(code);
  *name = found == NAMES.end() ? nullptr : found->second;
  return *name ? SUCCESS : INVALID_VALUE;
}

int cuGetErrorString(int code, const char** text) { return cuGetErrorName(code, text); }

int cuDeviceGetCount(int* count) {
  ENTER_WITHOUT_CONTEXT();
  *count = devices;
  return SUCCESS;
}

int cuDeviceGet(int* device, int index) {
  ENTER_WITHOUT_CONTEXT();
  if (index < 0 || index >= devices) return INVALID_DEVICE;
  *device = index;
  return SUCCESS;
}

int cuDeviceGetName(char* name, int bytes, int) {
  ENTER_WITHOUT_CONTEXT();
  snprintf(name, bytes, "Stand-in GPU");
  return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  ENTER_WITHOUT_CONTEXT();
  const auto found = attributes.find(attribute);
  if (found == attributes.end()) return INVALID_VALUE;
  *value = found->second;
  return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t* bytes, int) {
  ENTER_WITHOUT_CONTEXT();
  *bytes = TOTAL_MEMORY;
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  ENTER_WITHOUT_CONTEXT();
  handles++;
  *context = reinterpret_cast<void*>(0x1000 + device);
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int) {
  ENTER_WITHOUT_CONTEXT();
  handles--;
  drain();
  broken = SUCCESS;
  return SUCCESS;
}

int cuCtxSetCurrent(void* context) {
  ENTER_WITHOUT_CONTEXT();
  isCurrent = context != nullptr;
  return SUCCESS;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER();
  *total = TOTAL_MEMORY;
  *free = TOTAL_MEMORY;
  for (const auto& [_, bytes] : allocations) *free -= bytes;
  return SUCCESS;
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  ENTER();
  if (capturing) return STREAM_CAPTURE_UNSUPPORTED;
  if (bytes == 0) return INVALID_VALUE;
  if (bytes > TOTAL_MEMORY) return OUT_OF_MEMORY;
  void* memory;
  if (posix_memalign(&memory, 256, rounded(bytes) + 2 * GUARD_BYTES)) return OUT_OF_MEMORY;
  memset(memory, GUARD, rounded(bytes) + 2 * GUARD_BYTES);
  *address = reinterpret_cast<uint64_t>(memory) + GUARD_BYTES;
  memset(reinterpret_cast<void*>(*address), POISON, bytes);
  allocations[*address] = bytes;
  return SUCCESS;
}

int cuMemFree_v2(uint64_t address) {
  ENTER();
  const auto found = allocations.find(address);
  if (found == allocations.end()) return INVALID_VALUE;
  drain();
  const bool holds = guardsHold();
  memset(reinterpret_cast<void*>(address), POISON, found->second);
  allocations.erase(found);
  free(reinterpret_cast<void*>(address - GUARD_BYTES));
  return holds ? broken : ILLEGAL_ADDRESS;
}

int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
  ENTER();
  if (capturing) return STREAM_CAPTURE_UNSUPPORTED;
  *memory = malloc(bytes);
  if (!*memory) return OUT_OF_MEMORY;
  memset(*memory, POISON, bytes);
  pinned[*memory] = bytes;
  return SUCCESS;
}

int cuMemFreeHost(void* memory) {
  ENTER();
  if (!pinned.erase(memory)) return INVALID_VALUE;
  drain();
  free(memory);
  return SUCCESS;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
  ENTER();
  return enqueue(stream, [=] { return copy(to, reinterpret_cast<uint64_t>(from), bytes, true, false); });
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
  ENTER();
  return enqueue(stream, [=] { return copy(reinterpret_cast<uint64_t>(to), from, bytes, false, true); });
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
  ENTER();
  return enqueue(stream, [=] { return copy(to, from, bytes, true, true); });
}

int cuMemsetD32Async(uint64_t to, unsigned word, size_t words, Stream* stream) {
  ENTER();
  return enqueue(stream, [=] {
    if (to % 4 != 0 || !isDevice(to, 4 * words)) return (int)ILLEGAL_ADDRESS;
    std::fill_n(reinterpret_cast<unsigned*>(to), words, word);
    return (int)SUCCESS;
  });
}

int cuStreamCreate(Stream** stream, unsigned) {
  ENTER();
  *stream = make<Stream>();
  return SUCCESS;
}

int cuStreamDestroy_v2(Stream* stream) {
  ENTER();
  drain();
  return destroy(stream);
}

int cuStreamSynchronize(Stream* stream) {
  ENTER();
  return stream ? drain() : INVALID_HANDLE;
}

int cuStreamBeginCapture_v2(Stream* stream, int) {
  ENTER();
  if (stream->capturing) return STREAM_CAPTURE_INVALIDATED;
  stream->capturing = make<Graph>();
  capturing++;
  return SUCCESS;
}

int cuStreamEndCapture(Stream* stream, Graph** graph) {
  ENTER();
  *graph = stream->capturing;
  stream->capturing = nullptr;
  capturing--;
  return *graph ? SUCCESS : STREAM_CAPTURE_INVALIDATED;
}

int cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, unsigned long long) {
  ENTER();
  *executable = make<Graph>();
  (*executable)->works = graph->works;
  return SUCCESS;
}

int cuGraphLaunch(Graph* executable, Stream* stream) {
  ENTER();
  for (const Work& work : executable->works) enqueue(stream, work);
  return SUCCESS;
}

int cuGraphDestroy(Graph* graph) {
  ENTER();
  return destroy(graph);
}

int cuGraphExecDestroy(Graph* executable) {
  ENTER();
  return destroy(executable);
}

int cuEventCreate(Event** event, unsigned) {
  ENTER();
  *event = make<Event>();
  return SUCCESS;
}

int cuEventDestroy_v2(Event* event) {
  ENTER();
  drain();
  return destroy(event);
}

int cuEventRecord(Event* event, Stream* stream) {
  ENTER();
  event->isDone = false;
  return enqueue(stream, [=] {
    event->isDone = true;
    event->milliseconds = now();
    return (int)SUCCESS;
  });
}

/* A little is done each time, so that an event is not reached when it is first asked about. */
int cuEventQuery(Event* event) {
  ENTER();
  if (capturing) return STREAM_CAPTURE_UNSUPPORTED;
  if (event->isDone) return SUCCESS;
  if (!queue.empty()) advance();
  return broken != SUCCESS ? broken : NOT_READY;
}

int cuEventSynchronize(Event* event) {
  ENTER();
  while (!event->isDone && broken == SUCCESS && !queue.empty()) advance();
  return broken;
}

int cuEventElapsedTime(float* milliseconds, Event* from, Event* to) {
  ENTER();
  if (!from->isDone || !to->isDone) return NOT_READY;
  *milliseconds = static_cast<float>(to->milliseconds - from->milliseconds);
  return SUCCESS;
}

int cuModuleLoadData(Module** module, const void* image) {
  ENTER();
  CubinHead head;
  memcpy(&head, image, sizeof head);
  if (head.magic != CUBIN_MAGIC) return INVALID_IMAGE;
  if (head.architecture != 10 * attributes[MAJOR] + attributes[MINOR]) return NO_BINARY_FOR_GPU;
  char path[] = "/tmp/standin-XXXXXX";
  const int file = mkstemp(path);
  const bool isWritten = write(file, static_cast<const char*>(image) + sizeof head, head.bytes) == (ssize_t)head.bytes;
  close(file);
  void* handle = isWritten ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path);
  if (!handle) {
    fprintf(stderr, "stand-in: %s\n", dlerror());
    return INVALID_IMAGE;
  }
  const auto find = [&](const char* name) { return dlsym(handle, name); };
  const auto words = [&](const char* name) { return static_cast<uint32_t*>(find(name)); };
  const auto shared = [&](const char* name) { return reinterpret_cast<char* (*)()>(find(name))(); };
  *module = make<Module>();
  (*module)->handle = handle;
  (*module)->name = reinterpret_cast<const char* (*)()>(find("standin_name"))();
  (*module)->parameterBytes = reinterpret_cast<uint32_t (*)()>(find("standin_parameter_bytes"))();
  (*module)->text = Text{
      reinterpret_cast<void (*)(const void*)>(find("standin_call")),
      words("standin_thread"),
      words("standin_block"),
      words("standin_grid"),
      words("standin_threads"),
      shared("standin_shared_begin"),
      shared("standin_shared_end"),
      reinterpret_cast<int (*)()>(find("standin_waits"))() != 0,
  };
  *static_cast<void (**)()>(find("standin_wait_for_block")) = waitForBlock;
  *static_cast<double (**)(double, uint32_t)>(find("standin_shuffle")) = shuffle;
  return SUCCESS;
}

int cuModuleUnload(Module* module) {
  ENTER();
  drain();
  dlclose(module->handle);
  return destroy(module);
}

int cuModuleGetFunction(Module** function, Module* module, const char* name) {
  ENTER();
  if (module->name != name) return NOT_FOUND;
  *function = module;
  return SUCCESS;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Module*, int, size_t) {
  ENTER();
  *blocks = BLOCKS_PER_MULTIPROCESSOR;
  return SUCCESS;
}

int cuLaunchKernel(Module* function, unsigned grid, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz, unsigned shared, Stream* stream, void** parameters, void**) {
  ENTER();
  if (!function) return INVALID_HANDLE;
  if (grid == 0 || threads == 0 || threads > 1024 || y * z * ty * tz != 1 || shared != 0) return INVALID_VALUE;
  const auto* first = static_cast<const char*>(parameters[0]);
  std::vector<char> parameter(first, first + function->parameterBytes);
  return enqueue(stream, [=] { return launch(*function, grid, threads, parameter); });
}

void standin_set_order(unsigned value) { order = value; }
void standin_set_attribute(int number, int value) { attributes[number] = value; }
void standin_set_devices(int count) { devices = count; }
void standin_fail(const char* function, int code, int after) { failures[function] = {code, after}; }
uint64_t standin_live_allocations() { return allocations.size(); }
uint64_t standin_live_bytes() {
  uint64_t total = 0;
  for (const auto& [_, bytes] : allocations) total += bytes;
  return total;
}
uint64_t standin_live_pinned() { return pinned.size(); }
uint64_t standin_live_handles() { return handles; }
uint64_t standin_pending() { return queue.size(); }
uint64_t standin_blocks() { return blocksRun; }
uint64_t standin_launches() { return launchesRun; }
void standin_reset() {
  failures.clear();
  queue.clear();
  attributes = {{MULTIPROCESSORS, 2}, {MAJOR, 9}, {MINOR, 0}};
  devices = 1;
  broken = SUCCESS;
  order = 0;
  blocksRun = launchesRun = 0;
}

}  // extern "C"
