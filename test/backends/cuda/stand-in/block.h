/*
 * Runs the threads of one block. Where a text has no barrier they run one after the other; else each is a fiber, which is left where it
 * waits. Fibers that take turns in the same order hide missing barriers: so there are other orders, and shared memory holds NaN when a
 * block begins.
 */
#pragma once
#include <cstdint>
#include <vector>

#include "text.h"

/* 0: forwards; 1: backwards; others seed a random order, another one for each salt. */
std::vector<uint32_t> orderOf(uint32_t count, uint32_t order, uint32_t salt);

/* False where the threads wait for each other for ever, or not at the same place: there is a complaint then. */
bool runBlock(const StandinText& text, const void* parameter, uint32_t block, uint32_t threads, uint32_t order);

/* For texts. */
extern const StandinWaits WAITS;
