/*
 * Device memory, which is host memory that shows mistakes. An allocation ends at a page that nobody may touch and begins behind another;
 * what is left between is guarded, and holds NaN, too, for those who read it. It is NaN when it is allocated, and untouchable when it was
 * freed. Pinned host memory is known as well: a copy that comes too late finds that it is gone.
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

constexpr uint64_t TOTAL_MEMORY = 4ull << 30;

/* 0 where there is no memory left. */
uint64_t allocateDevice(size_t bytes);
/* False where nothing begins there. */
bool freeDevice(uint64_t address);
/* Whether these bytes lie in one allocation. */
bool isDevice(uint64_t address, size_t bytes);
/* Nobody wrote beside an allocation; else there is a complaint. */
bool guardsHold();
/* For people: what an address is near to. */
std::string describe(uint64_t address);

void* allocatePinned(size_t bytes);
bool freePinned(void* memory);
bool isPinned(const void* memory, size_t bytes);

uint64_t deviceAllocations(), deviceBytes(), pinnedAllocations();
/* As where a context ends: all of it is gone. */
void freeAll();
