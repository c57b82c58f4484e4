/*
 * Fibers: stacks that are left and entered again, by hand, since a switch takes a few nanoseconds then and a block has thousands of them.
 * What a called function has to keep is pushed on the stack that is left.
 */
#pragma once
#include <cstdint>

/* At most so many at once: the threads of a block. */
constexpr uint32_t FIBERS = 1024;

/* Leaves one stack, whose pointer goes to `from`, for another. */
extern "C" void standin_switch(void** from, void* to);

/* A stack pointer to be switched to: `entry` begins there, and must not return. */
void* freshStack(uint32_t fiber, void (*entry)());
