#!/usr/bin/env bash
# Runs the goldens, the optimizer matrix, the CUDA tests and the benchmark on the GPU of this machine, from what pack.ts has packed; asks
# for nothing but bash, tar and xz, the driver and NVRTC; for the comparison also python3 with torch.
#
#     bash bench/gpu-machine/run.sh [FOLDER FOR LOGS]      default: bench/results
set -euo pipefail
cd "$(dirname "$0")/../.."
logs="${1:-bench/results}"
mkdir -p "$logs" node_modules
tar -xJf gpu-kit/node.tar.xz -C gpu-kit
tar -xJf gpu-kit/packages.tar.xz
tar -xJf gpu-kit/dist.tar.xz
find dist -exec touch {} + # newer than the sources: nothing is built here
export PATH="$PWD/gpu-kit:$PATH"
# NVRTC may come with torch instead of a toolkit.
if [ -z "${STEPJIT_LIBNVRTC:-}" ] && command -v python3 >/dev/null; then
  found="$(python3 -c 'import glob, sys; print(*[f for p in sys.path for f in glob.glob(p + "/nvidia/*/lib/libnvrtc.so.*")], sep="\n")' | head -1)"
  if [ -n "$found" ]; then export STEPJIT_LIBNVRTC="$found"; fi
fi

device="$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -1)"
name="$(date +%F)-$(echo "${device%%,*}" | tr -cs 'A-Za-z0-9' '-' | tr 'A-Z' 'a-z' | sed 's/-$//')-cuda"
{
  echo "$device, $(date +%F), Node $(node --version)"
  node node_modules/vitest/vitest.mjs run --reporter=default \
    test/optim/golden.test.ts test/optim/matrix.test.ts test/optim/launches.test.ts test/backends/cuda
} 2>&1 | tee "$logs/$name-tests.log"
node --expose-gc --import stepjit/register bench/main.ts --set cuda 2>&1 | tee "$logs/$name-bench.log"
