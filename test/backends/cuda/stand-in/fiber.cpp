#include "fiber.h"

#include <sys/mman.h>

namespace {

/* More than any kernel needs; what is not touched takes no memory. */
constexpr size_t STACK_BYTES = 256 * 1024;

/* Stacks at the same place of a page would share a few lines of the cache. */
constexpr size_t SHIFT_BYTES = 9 * 64, SHIFTS = 7;

char* stacks() {
  static char* memory = static_cast<char*>(mmap(nullptr, FIBERS * STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  return memory;
}

}  // namespace

#if defined(__x86_64__)
asm(R"(
.text
.globl standin_switch
.hidden standin_switch
.type standin_switch, @function
standin_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
/* Six registers, where to go on, and a word so that the stack is aligned as after a call. */
constexpr size_t WORDS = 8, ENTRY = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.globl standin_switch
.hidden standin_switch
.type standin_switch, %function
standin_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
/* x30 is where to go on. */
constexpr size_t WORDS = 20, ENTRY = 11;
#else
#error "the stand-in switches fibers on x86-64 and aarch64"
#endif

void* freshStack(uint32_t fiber, void (*entry)()) {
  char* top = stacks() + (fiber + 1) * STACK_BYTES - fiber % SHIFTS * SHIFT_BYTES;
  auto* words = reinterpret_cast<uint64_t*>(top) - WORDS;
  words[ENTRY] = reinterpret_cast<uint64_t>(entry);
  return words;
}
