/*
 * A stand-in libcuda, so that all of a CUDA backend runs where there is no GPU: the same calls, the same handles, memory (memory.h) and
 * streams (stream.h); kernels are what the stand-in libnvrtc has compiled, run on the CPU (module.h, block.h). It is as strict as CUDA is
 * documented to be, and as lazy as CUDA may be: copies from pinned memory read it when they are done, and copies to the host write it then.
 * What goes wrong while work is done is told by the calls after, and ends the context, as with CUDA.
 *
 * For tests it has some functions more:
 *
 *   standin_set_order(n)                  the order of threads and blocks: 0 forwards, 1 backwards, else a random one by this seed.
 *                                         At the start it is the environment variable STANDIN_ORDER, else 0
 *   standin_set_attribute(number, value)  a device attribute (CUdevice_attribute)
 *   standin_set_devices(n)                how many devices there are
 *   standin_fail(function, code, after)   makes a call of that function return this code, after so many that go well
 *   standin_live_allocations(), standin_live_bytes(), standin_live_pinned(), standin_live_handles()   what was not given back: of
 *                                         device memory, of pinned memory, of streams, events, modules, graphs and contexts
 *   standin_pending()                     work that is queued
 *   standin_advance(n)                    does so much of it
 *   standin_blocks(), standin_launches()  blocks and kernels that were run
 *   standin_complaint()                   what stderr was told last, since the last reset; empty where nothing was
 *   standin_reset()                       all of this as at the start; memory and handles stay
 */
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "codes.h"
#include "memory.h"
#include "module.h"
#include "stream.h"

namespace {

/* Of CUdevice_attribute. */
enum Attribute { MAX_THREADS = 1, MAX_SHARED = 8, WARP_SIZE = 10, MULTIPROCESSORS = 16, UNIFIED_ADDRESSING = 41, MAJOR = 75, MINOR = 76 };
const std::map<int, int> ATTRIBUTES = {{MAX_THREADS, 1024}, {MAX_SHARED, 49152},     {WARP_SIZE, 32}, {MULTIPROCESSORS, 2},
                                       {MAJOR, 9},          {UNIFIED_ADDRESSING, 1}, {MINOR, 0}};
constexpr int BLOCKS_PER_MULTIPROCESSOR = 2;
constexpr uint64_t CONTEXT = 0x7a5c00000000;
/* Of CUevent_flags, CUstreamCaptureMode. */
constexpr unsigned DISABLE_TIMING = 2;
constexpr int RELAXED = 2;

struct Failure {
  int code, after;
};

Handles<Stream> streams;
Handles<Event> events;
Handles<Module> modules;
Handles<Module> functions;
Handles<Graph> graphs;
Handles<GraphExec> graphExecs;
/* The stream 0, and what else stands for it: CU_STREAM_LEGACY, CU_STREAM_PER_THREAD. */
const std::shared_ptr<Stream> DEFAULT = std::make_shared<Stream>();

std::map<std::string, Failure> failures;
std::map<int, int> attributes = ATTRIBUTES;
std::map<int, int> retained;
int devices = 1;
bool isInitialized = false;
uint64_t current = 0;
uint32_t firstOrder() { return getenv("STANDIN_ORDER") ? atoi(getenv("STANDIN_ORDER")) : 0; }
uint32_t order = firstOrder();
std::string complaint;

std::shared_ptr<Stream> streamOf(uint64_t handle) { return handle <= 2 ? DEFAULT : streams.find(handle); }

template <typename Visit>
void eachStream(Visit visit) {
  visit(*DEFAULT);
  for (const auto& [_, stream] : streams.live) visit(*stream);
}

void drainAll() { eachStream(drain); }

bool isContext(uint64_t context) { return context >= CONTEXT && retained[static_cast<int>(context - CONTEXT)] > 0; }

/* What every call begins with: failures that tests ask for, and those of earlier work. */
int enter(const char* function, bool needsContext) {
  const auto failure = failures.find(function);
  if (failure != failures.end() && failure->second.after-- == 0) {
    const int code = failure->second.code;
    failures.erase(failure);
    if (code == ILLEGAL_ADDRESS || code == LAUNCH_FAILED) broken = code;
    return code;
  }
  if (!isInitialized) return NOT_INITIALIZED;
  if (!needsContext) return SUCCESS;
  return isContext(current) ? broken : INVALID_CONTEXT;
}

/* The same for calls that might wait for the device: they end every capture that is under way, unless it is a relaxed one. */
int enterUnsafe(const char* function) {
  int code = enter(function, true);
  eachStream([&](Stream& stream) {
    if (!stream.capturing || stream.mode == RELAXED) return;
    stream.isInvalid = true;
    complain("%s is called while a stream is captured", function);
    code = STREAM_CAPTURE_UNSUPPORTED;
  });
  return code;
}

int copy(uint64_t to, uint64_t from, size_t bytes, bool toDevice, bool fromDevice) {
  const bool isSound = (!toDevice || isDevice(to, bytes)) && (!fromDevice || isDevice(from, bytes));
  if (!isSound) complain("%zu bytes are copied from %s to %s", bytes, describe(from).c_str(), describe(to).c_str());
  else memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
  return isSound ? SUCCESS : ILLEGAL_ADDRESS;
}

int gone(size_t bytes) {
  complain("%zu bytes are copied from or to pinned memory that was freed", bytes);
  return ILLEGAL_ADDRESS;
}

}  // namespace

void complain(const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  complaint = text;
  fprintf(stderr, "stand-in: %s\n", text);
}

#define ENTER_WITHOUT_CONTEXT() \
  if (const int code = enter(__func__, false)) return code
#define ENTER() \
  if (const int code = enter(__func__, true)) return code
#define ENTER_UNSAFE() \
  if (const int code = enterUnsafe(__func__)) return code
#define ENTER_DEVICE(device) \
  ENTER_WITHOUT_CONTEXT();   \
  if (device < 0 || device >= devices) return INVALID_DEVICE
/* What a handle stands for. */
#define FIND(name, found)  \
  const auto name = found; \
  if (!name) return INVALID_HANDLE

extern "C" {

int cuInit(unsigned flags) {
  isInitialized = true;
  ENTER_WITHOUT_CONTEXT();
  if (flags != 0) return INVALID_VALUE;
  return devices > 0 ? SUCCESS : NO_DEVICE;
}

int cuDriverGetVersion(int* version) {
  ENTER_WITHOUT_CONTEXT();
  *version = 12040;
  return SUCCESS;
}

int cuGetErrorName(int code, const char** name) {
  *name = nullptr;
  switch (code) {
#define STANDIN_CODE(code, number) \
  case number: *name = number == SUCCESS ? "CUDA_SUCCESS" : "CUDA_ERROR_" #code; break;
    STANDIN_CODES(STANDIN_CODE)
#undef STANDIN_CODE
  }
  return *name ? SUCCESS : INVALID_VALUE;
}

int cuGetErrorString(int code, const char** text) { return cuGetErrorName(code, text); }

int cuDeviceGetCount(int* count) {
  ENTER_WITHOUT_CONTEXT();
  *count = devices;
  return SUCCESS;
}

int cuDeviceGet(int* device, int index) {
  ENTER_DEVICE(index);
  *device = index;
  return SUCCESS;
}

int cuDeviceGetName(char* name, int bytes, int device) {
  ENTER_DEVICE(device);
  snprintf(name, bytes, "Stand-in GPU");
  return SUCCESS;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  ENTER_DEVICE(device);
  const auto found = attributes.find(attribute);
  if (found == attributes.end()) return INVALID_VALUE;
  *value = found->second;
  return SUCCESS;
}

int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  ENTER_DEVICE(device);
  *bytes = TOTAL_MEMORY;
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(uint64_t* context, int device) {
  ENTER_DEVICE(device);
  retained[device]++;
  *context = CONTEXT + device;
  return SUCCESS;
}

/* The end of a broken context is the end of all that it had; of a sound one, too, but then tests are to see what was left. */
int cuDevicePrimaryCtxRelease_v2(int device) {
  ENTER_DEVICE(device);
  if (retained[device] == 0) return INVALID_CONTEXT;
  if (--retained[device] > 0) return SUCCESS;
  drainAll();
  if (broken == SUCCESS) return SUCCESS;
  freeAll();
  streams.live.clear();
  events.live.clear();
  functions.live.clear();
  modules.live.clear();
  graphs.live.clear();
  graphExecs.live.clear();
  broken = SUCCESS;
  return SUCCESS;
}

int cuCtxSetCurrent(uint64_t context) {
  ENTER_WITHOUT_CONTEXT();
  if (context != 0 && !isContext(context)) return INVALID_CONTEXT;
  current = context;
  return SUCCESS;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER();
  *total = TOTAL_MEMORY;
  *free = TOTAL_MEMORY - deviceBytes();
  return SUCCESS;
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  ENTER_UNSAFE();
  if (bytes == 0) return INVALID_VALUE;
  *address = allocateDevice(bytes);
  return *address ? SUCCESS : OUT_OF_MEMORY;
}

int cuMemFree_v2(uint64_t address) {
  ENTER_UNSAFE();
  drainAll();
  if (!guardsHold()) broken = ILLEGAL_ADDRESS;
  if (broken != SUCCESS) return broken;
  return freeDevice(address) ? SUCCESS : INVALID_VALUE;
}

int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
  ENTER_UNSAFE();
  if (bytes == 0) return INVALID_VALUE;
  *memory = allocatePinned(bytes);
  return *memory ? SUCCESS : OUT_OF_MEMORY;
}

/* It is not documented to wait for copies. */
int cuMemFreeHost(void* memory) {
  ENTER_UNSAFE();
  return freePinned(memory) ? SUCCESS : INVALID_VALUE;
}

/* What is not pinned is copied at once, as by CUDA; but a graph reads it when it is launched. */
int cuMemcpyHtoDAsync_v2(uint64_t to, const char* from, size_t bytes, uint64_t handle) {
  ENTER();
  FIND(stream, streamOf(handle));
  if (isPinned(from, bytes) || stream->capturing) {
    const bool wasPinned = isPinned(from, bytes);
    return enqueue(*stream, [=] {
      if (wasPinned && !isPinned(from, bytes)) return gone(bytes);
      return copy(to, reinterpret_cast<uint64_t>(from), bytes, true, false);
    });
  }
  return enqueue(*stream, [=, staged = std::string(from, bytes)] { return copy(to, reinterpret_cast<uint64_t>(staged.data()), bytes, true, false); });
}

/* What is not pinned is waited for, as by CUDA. */
int cuMemcpyDtoHAsync_v2(char* to, uint64_t from, size_t bytes, uint64_t handle) {
  ENTER();
  FIND(stream, streamOf(handle));
  const bool wasPinned = isPinned(to, bytes);
  const int code = enqueue(*stream, [=] {
    if (wasPinned && !isPinned(to, bytes)) return gone(bytes);
    return copy(reinterpret_cast<uint64_t>(to), from, bytes, false, true);
  });
  return wasPinned || stream->capturing ? code : drain(*stream);
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, uint64_t handle) {
  ENTER();
  FIND(stream, streamOf(handle));
  return enqueue(*stream, [=] { return copy(to, from, bytes, true, true); });
}

int cuMemsetD32Async(uint64_t to, unsigned word, size_t words, uint64_t handle) {
  ENTER();
  FIND(stream, streamOf(handle));
  if (to % 4 != 0) return INVALID_VALUE;
  return enqueue(*stream, [=]() -> int {
    if (!isDevice(to, 4 * words)) {
      complain("%zu words are filled at %s", words, describe(to).c_str());
      return ILLEGAL_ADDRESS;
    }
    std::fill_n(reinterpret_cast<unsigned*>(to), words, word);
    return SUCCESS;
  });
}

int cuStreamCreate(uint64_t* handle, unsigned) {
  ENTER();
  *handle = streams.make(std::make_shared<Stream>());
  return SUCCESS;
}

/* What is queued is done all the same. */
int cuStreamDestroy_v2(uint64_t handle) {
  ENTER();
  FIND(stream, streams.find(handle));
  drain(*stream);
  streams.live.erase(handle);
  return broken;
}

int cuStreamSynchronize(uint64_t handle) {
  ENTER_UNSAFE();
  FIND(stream, streamOf(handle));
  return drain(*stream);
}

int cuStreamBeginCapture_v2(uint64_t handle, int mode) {
  ENTER();
  FIND(stream, streamOf(handle));
  if (mode < 0 || mode > RELAXED) return INVALID_VALUE;
  if (stream == DEFAULT || stream->capturing) return STREAM_CAPTURE_UNSUPPORTED;
  stream->capturing = std::make_unique<Graph>();
  stream->mode = mode;
  stream->isInvalid = false;
  return SUCCESS;
}

int cuStreamEndCapture(uint64_t handle, uint64_t* graph) {
  *graph = 0;
  std::shared_ptr<Graph> captured;
  if (const auto ended = streamOf(handle)) captured = std::move(ended->capturing); // whatever comes of it
  ENTER();
  FIND(stream, streamOf(handle));
  if (!captured) return STREAM_CAPTURE_UNMATCHED;
  if (stream->isInvalid) return STREAM_CAPTURE_INVALIDATED;
  *graph = graphs.make(captured);
  return SUCCESS;
}

int cuGraphInstantiateWithFlags(uint64_t* exec, uint64_t handle, unsigned long long) {
  ENTER();
  FIND(graph, graphs.find(handle));
  *exec = graphExecs.make(std::make_shared<GraphExec>(GraphExec{graph->works}));
  return SUCCESS;
}

int cuGraphLaunch(uint64_t handle, uint64_t streamHandle) {
  ENTER();
  FIND(exec, graphExecs.find(handle));
  FIND(stream, streamOf(streamHandle));
  for (const Work& work : exec->works)
    if (const int code = enqueue(*stream, work)) return code;
  return SUCCESS;
}

int cuGraphDestroy(uint64_t handle) {
  ENTER();
  return graphs.live.erase(handle) ? SUCCESS : INVALID_HANDLE;
}

int cuGraphExecDestroy(uint64_t handle) {
  ENTER();
  return graphExecs.live.erase(handle) ? SUCCESS : INVALID_HANDLE;
}

int cuEventCreate(uint64_t* handle, unsigned flags) {
  ENTER();
  auto event = std::make_shared<Event>();
  event->hasTiming = !(flags & DISABLE_TIMING);
  *handle = events.make(event);
  return SUCCESS;
}

int cuEventDestroy_v2(uint64_t handle) {
  ENTER();
  return events.live.erase(handle) ? SUCCESS : INVALID_HANDLE;
}

int cuEventRecord(uint64_t handle, uint64_t streamHandle) {
  ENTER();
  FIND(event, events.find(handle));
  FIND(stream, streamOf(streamHandle));
  record(event, stream);
  return SUCCESS;
}

/* A little is done each time, so that an event is not reached when it is first asked about. */
int cuEventQuery(uint64_t handle) {
  ENTER_UNSAFE();
  FIND(event, events.find(handle));
  if (event->isCaptured) return CAPTURED_EVENT;
  if (event->isDone()) return SUCCESS;
  if (const auto stream = event->stream.lock()) advance(*stream);
  return broken != SUCCESS ? broken : NOT_READY;
}

int cuEventSynchronize(uint64_t handle) {
  ENTER_UNSAFE();
  FIND(event, events.find(handle));
  if (event->isCaptured) return CAPTURED_EVENT;
  const auto stream = event->stream.lock();
  while (stream && !event->isDone() && broken == SUCCESS) advance(*stream);
  return broken;
}

int cuEventElapsedTime(float* milliseconds, uint64_t fromHandle, uint64_t toHandle) {
  ENTER();
  FIND(from, events.find(fromHandle));
  FIND(to, events.find(toHandle));
  for (const auto& event : {from, to})
    if (!event->hasTiming || event->recorded == 0) return INVALID_HANDLE;
  if (!from->isDone() || !to->isDone()) return NOT_READY;
  *milliseconds = static_cast<float>(to->milliseconds - from->milliseconds);
  return SUCCESS;
}

int cuModuleLoadData(uint64_t* handle, const void* image) {
  ENTER_UNSAFE();
  auto module = std::make_shared<Module>();
  if (const int code = load(*module, image, 10 * attributes[MAJOR] + attributes[MINOR])) return code;
  *handle = modules.make(module);
  return SUCCESS;
}

int cuModuleUnload(uint64_t handle) {
  ENTER_UNSAFE();
  FIND(module, modules.find(handle));
  drainAll();
  modules.live.erase(handle);
  auto& live = functions.live;
  for (auto it = live.begin(); it != live.end();) it = it->second == module ? live.erase(it) : std::next(it);
  return SUCCESS;
}

/* The same handle each time. */
int cuModuleGetFunction(uint64_t* function, uint64_t handle, const char* name) {
  ENTER();
  FIND(module, modules.find(handle));
  if (strcmp(module->text->name, name) != 0) return NOT_FOUND;
  for (const auto& [known, of] : functions.live)
    if (of == module) {
      *function = known;
      return SUCCESS;
    }
  *function = functions.make(module);
  return SUCCESS;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, uint64_t handle, int threads, size_t) {
  ENTER();
  FIND(function, functions.find(handle));
  if (threads <= 0) return INVALID_VALUE;
  *blocks = threads > static_cast<int>(function->text->threads) ? 0 : BLOCKS_PER_MULTIPROCESSOR;
  return SUCCESS;
}

/* Blocks and threads have one dimension, and shared memory is of constant size. */
int cuLaunchKernel(uint64_t handle, unsigned grid, unsigned y, unsigned z, unsigned threads, unsigned ty, unsigned tz, unsigned shared,
                   uint64_t streamHandle, void** parameters, void** extra) {
  ENTER();
  FIND(function, functions.find(handle));
  FIND(stream, streamOf(streamHandle));
  if (grid == 0 || grid > INT32_MAX || threads == 0 || y != 1 || z != 1 || ty != 1 || tz != 1 || shared != 0) return INVALID_VALUE;
  if (!parameters || !parameters[0] || extra) return INVALID_VALUE;
  if (threads > function->text->threads) return INVALID_VALUE;
  const auto* first = static_cast<const char*>(parameters[0]);
  std::vector<char> parameter(first, first + function->text->parameterBytes);
  return enqueue(*stream, [=] { return launch(*function, grid, threads, parameter, order); });
}

void standin_set_order(unsigned value) { order = value; }
void standin_set_attribute(int number, int value) { attributes[number] = value; }
void standin_set_devices(int count) { devices = count; }
void standin_fail(const char* function, int code, int after) { failures[function] = {code, after}; }
uint64_t standin_live_allocations() { return deviceAllocations(); }
uint64_t standin_live_bytes() { return deviceBytes(); }
uint64_t standin_live_pinned() { return pinnedAllocations(); }
uint64_t standin_live_handles() {
  uint64_t count = streams.live.size() + events.live.size() + modules.live.size() + graphs.live.size() + graphExecs.live.size();
  for (const auto& [_, times] : retained) count += times;
  return count;
}
uint64_t standin_pending() {
  uint64_t count = 0;
  eachStream([&](const Stream& stream) { count += stream.queue.size(); });
  return count;
}
void standin_advance(uint64_t works) {
  for (; works > 0; works--) {
    bool isFirst = true;
    eachStream([&](Stream& stream) {
      if (!isFirst || stream.queue.empty()) return;
      isFirst = false;
      advance(stream);
    });
  }
}
uint64_t standin_blocks() { return blocksRun; }
uint64_t standin_launches() { return launchesRun; }
const char* standin_complaint() { return complaint.c_str(); }
void standin_reset() {
  failures.clear();
  eachStream([](Stream& stream) {
    stream.queue.clear();
    stream.capturing.reset();
  });
  for (const auto& [_, event] : events.live) event->reached = event->recorded;
  attributes = ATTRIBUTES;
  devices = 1;
  broken = SUCCESS;
  order = firstOrder();
  blocksRun = launchesRun = 0;
  complaint.clear();
}

}  // extern "C"
