/* Runs what may touch memory that is not there, or divide by zero, and lives on: a GPU would tell of it, too. */
#pragma once
#include <cstdint>
#include <functional>

enum class Trap { None, Address, Arithmetic };

/* What stopped it, and at which address. */
Trap trapped(const std::function<void()>& work, uint64_t& address);
