#include "trap.h"

#include <csetjmp>
#include <csignal>

namespace {

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE};

sigjmp_buf out;
uint64_t faulted;

/* On whatever stack the fault was. */
void onSignal(int signal, siginfo_t* info, void*) {
  faulted = reinterpret_cast<uint64_t>(info->si_addr);
  siglongjmp(out, signal);
}

}  // namespace

Trap trapped(const std::function<void()>& work, uint64_t& address) {
  struct sigaction before[3], ours = {};
  ours.sa_sigaction = onSignal;
  ours.sa_flags = SA_SIGINFO;
  for (int i = 0; i < 3; i++) sigaction(SIGNALS[i], &ours, &before[i]);
  const int signal = sigsetjmp(out, 1);
  if (signal == 0) work();
  for (int i = 0; i < 3; i++) sigaction(SIGNALS[i], &before[i], nullptr);
  address = faulted;
  if (signal == 0) return Trap::None;
  return signal == SIGFPE ? Trap::Arithmetic : Trap::Address;
}
