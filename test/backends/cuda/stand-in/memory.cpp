#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <sys/mman.h>

#include "codes.h"

namespace {

constexpr size_t PAGE = 4096, ALIGNMENT = 256, LEAST_GUARD = 256;
/* NaN as a float and as a double, unlike what is poisoned. */
constexpr uint32_t GUARD = 0x7fffa5a5;
/* So many freed allocations stay untouchable before their addresses may be given out again. */
constexpr size_t REMEMBERED = 256;

size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

struct Allocation {
  size_t bytes;
  /* Of memory that may be touched. */
  char* begin;
  size_t mapped;

  char* end() const { return begin + mapped; }
};

/* By address. */
std::map<uint64_t, Allocation> live;
std::map<uint64_t, size_t> pinned;
std::deque<Allocation> freed;
uint64_t liveBytes = 0;

template <typename Map>
typename Map::const_iterator at(const Map& map, uint64_t address) {
  auto next = map.upper_bound(address);
  return next == map.begin() ? map.end() : --next;
}

void guard(char* from, char* to) {
  for (; from < to; from++) *from = reinterpret_cast<const char*>(&GUARD)[reinterpret_cast<uint64_t>(from) % 4];
}

bool isGuard(const char* from, const char* to) {
  for (; from < to; from++)
    if (*from != reinterpret_cast<const char*>(&GUARD)[reinterpret_cast<uint64_t>(from) % 4]) return false;
  return true;
}

void unmap(const Allocation& allocation) { munmap(allocation.begin - PAGE, allocation.mapped + 2 * PAGE); }

}  // namespace

uint64_t allocateDevice(size_t bytes) {
  if (liveBytes + bytes > TOTAL_MEMORY) return 0;
  const size_t mapped = rounded(rounded(bytes, ALIGNMENT) + LEAST_GUARD, PAGE);
  void* memory = mmap(nullptr, mapped + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return 0;
  const Allocation made = {bytes, static_cast<char*>(memory) + PAGE, mapped};
  if (mprotect(made.begin, mapped, PROT_READ | PROT_WRITE) != 0) return 0;
  char* data = made.end() - rounded(bytes, ALIGNMENT);
  guard(made.begin, data);
  memset(data, 0xff, bytes);
  guard(data + bytes, made.end());
  const auto address = reinterpret_cast<uint64_t>(data);
  live[address] = made;
  liveBytes += bytes;
  return address;
}

bool freeDevice(uint64_t address) {
  const auto found = live.find(address);
  if (found == live.end()) {
    complain("%s is freed", describe(address).c_str());
    return false;
  }
  const Allocation& allocation = found->second;
  mmap(allocation.begin, allocation.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  liveBytes -= allocation.bytes;
  freed.push_back(allocation);
  live.erase(found);
  if (freed.size() > REMEMBERED) {
    unmap(freed.front());
    freed.pop_front();
  }
  return true;
}

bool isDevice(uint64_t address, size_t bytes) {
  const auto found = at(live, address);
  return found != live.end() && address + bytes <= found->first + found->second.bytes;
}

bool guardsHold() {
  for (const auto& [address, allocation] : live) {
    const auto* data = reinterpret_cast<const char*>(address);
    const bool isBefore = !isGuard(std::max<const char*>(allocation.begin, data - LEAST_GUARD), data);
    if (!isBefore && isGuard(data + allocation.bytes, allocation.end())) continue;
    complain("a kernel wrote %s %zu bytes of device memory", isBefore ? "before" : "behind", allocation.bytes);
    return false;
  }
  return true;
}

std::string describe(uint64_t address) {
  char text[128];
  const auto is = [&](const Allocation& allocation) {
    const auto begin = reinterpret_cast<uint64_t>(allocation.begin) - PAGE;
    return begin <= address && address < begin + allocation.mapped + 2 * PAGE;
  };
  const auto behind = at(live, address);
  const auto beside = std::find_if(live.begin(), live.end(), [&](const auto& entry) { return is(entry.second); });
  const auto gone = std::find_if(freed.rbegin(), freed.rend(), is);
  if (beside != live.end() && behind == beside)
    snprintf(text, sizeof text, "byte %zu of %zu bytes of device memory", static_cast<size_t>(address - beside->first), beside->second.bytes);
  else if (beside != live.end())
    snprintf(text, sizeof text, "what lies %zu bytes before device memory", static_cast<size_t>(beside->first - address));
  else if (gone != freed.rend())
    snprintf(text, sizeof text, "device memory that was freed (%zu bytes)", gone->bytes);
  else
    snprintf(text, sizeof text, "0x%llx (no device memory)", static_cast<unsigned long long>(address));
  return text;
}

void* allocatePinned(size_t bytes) {
  void* memory = malloc(bytes);
  if (!memory) return nullptr;
  memset(memory, 0xff, bytes);
  pinned[reinterpret_cast<uint64_t>(memory)] = bytes;
  return memory;
}

bool freePinned(void* memory) {
  const auto found = pinned.find(reinterpret_cast<uint64_t>(memory));
  if (found == pinned.end()) return false;
  memset(memory, 0xff, found->second);
  pinned.erase(found);
  free(memory);
  return true;
}

bool isPinned(const void* memory, size_t bytes) {
  const auto address = reinterpret_cast<uint64_t>(memory);
  const auto found = at(pinned, address);
  return found != pinned.end() && address + bytes <= found->first + found->second;
}

uint64_t deviceAllocations() { return live.size(); }
uint64_t deviceBytes() { return liveBytes; }
uint64_t pinnedAllocations() { return pinned.size(); }

void freeAll() {
  while (!live.empty()) freeDevice(live.begin()->first);
  while (!pinned.empty()) freePinned(reinterpret_cast<void*>(pinned.begin()->first));
}
