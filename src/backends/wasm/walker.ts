/**
 * The walker: the one hand-written module. `walk` goes over the chunks of a range of spans and calls each chunk's kernel
 * through the function table, `work` claims spans, one at a time, until none is left. Every thread has its own walker and its
 * own function table; the memory is common.
 */
import { CHUNK, CLOSED, CONTROL, INACTIVE, JOB, NO_KERNEL, TENSOR_ROW } from "./layout.ts";

export interface Walker {
  readonly kernels: WebAssembly.Table;
  /** Runs spans `first` up to, not including, `end` of the job at this address. */
  readonly walk: (job: number, first: number, end: number) => void;
  /**
   * Claims and runs spans of the job that the control block names; returns when all are claimed, and at once where the job has
   * fewer threads or more kernels than this thread knows. The launching thread is number 0. Only over shared memory.
   */
  readonly work: (control: number, thread: number) => void;
}

export function walkerText(shared: boolean): string {
  return `(module
  (import "env" "memory" (memory 0${shared ? " 65536 shared" : ""}))
  (table $kernels (export "kernels") 0 funcref)
  (type $kernel (func (param $tensor.row i32) (param $start i32) (param $length i32) (param $partial i32)))

  (func $walk (export "walk") (param $job i32) (param $first i32) (param $end i32)
    (local $spans i32) (local $chunk i32) (local $last i32)
    (local.set $spans (i32.load offset=${JOB.spans} (local.get $job)))
    (local.set $chunk (call $chunk.at (local.get $job) (local.get $spans) (local.get $first)))
    (local.set $last (call $chunk.at (local.get $job) (local.get $spans) (local.get $end)))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $chunk) (local.get $last)))
        (call $run (local.get $job) (local.get $chunk))
        (local.set $chunk (i32.add (local.get $chunk) (i32.const ${CHUNK.bytes})))
        (br $next))))

  ;; The address of the first chunk of a span.
  (func $chunk.at (param $job i32) (param $spans i32) (param $span i32) (result i32)
    (i32.add
      (i32.load offset=${JOB.chunks} (local.get $job))
      (i32.mul
        (i32.load (i32.add (local.get $spans) (i32.shl (local.get $span) (i32.const 2))))
        (i32.const ${CHUNK.bytes}))))

  (func $run (param $job i32) (param $chunk i32)
    (local $row i32) (local $kernel i32) (local $partial i32) (local $totals i32)
    (local.set $row
      (i32.add
        (i32.load offset=${JOB.tensors} (local.get $job))
        (i32.mul
          (i32.load offset=${CHUNK.tensor} (local.get $chunk))
          (i32.load offset=${JOB.tensorBytes} (local.get $job)))))
    (local.set $kernel
      (i32.load
        (i32.add
          (i32.load offset=${JOB.kernels} (local.get $job))
          (i32.shl (i32.load offset=${TENSOR_ROW.classIndex} (local.get $row)) (i32.const 2)))))
    (local.set $totals (i32.shl (i32.load offset=${JOB.totals} (local.get $job)) (i32.const 3)))
    (local.set $partial
      (i32.add
        (i32.load offset=${JOB.partials} (local.get $job))
        (i32.mul (i32.load offset=${CHUNK.slot} (local.get $chunk)) (local.get $totals))))
    ;; A chunk without work adds nothing to any total.
    (call $zero (local.get $partial) (i32.add (local.get $partial) (local.get $totals)))
    (if (i32.and (i32.load offset=${TENSOR_ROW.flags} (local.get $row)) (i32.const ${INACTIVE})) (then return))
    (if (i32.eq (local.get $kernel) (i32.const ${NO_KERNEL})) (then return))
    (call_indirect $kernels (type $kernel)
      (local.get $row)
      (i32.load offset=${CHUNK.start} (local.get $chunk))
      (i32.load offset=${CHUNK.length} (local.get $chunk))
      (local.get $partial)
      (local.get $kernel)))

  (func $zero (param $at i32) (param $end i32)
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (i64.store (local.get $at) (i64.const 0))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $next))))
${shared ? WORK : ""})
`;
}

/**
 * What the control block says about the job is read after the claim word and counts only if the claim word is still the same
 * when the claim is made: it is closed before those words change.
 */
const WORK = `
  (func (export "work") (param $control i32) (param $thread i32)
    (local $claim i64) (local $job i32) (local $span i32)
    (loop $again
      (local.set $claim (i64.atomic.load offset=${CONTROL.claim} (local.get $control)))
      (local.set $span (i32.wrap_i64 (local.get $claim)))
      (if (i32.eq (local.get $span) (i32.const ${CLOSED})) (then return))
      (if (i32.ge_u (local.get $thread) (i32.load offset=${CONTROL.threads} (local.get $control))) (then return))
      (if (i32.gt_u (i32.load offset=${CONTROL.kernels} (local.get $control)) (table.size $kernels)) (then return))
      (local.set $job (i32.load offset=${CONTROL.job} (local.get $control)))
      (if (i32.ge_u (local.get $span) (i32.load offset=${JOB.spanCount} (local.get $job))) (then return))
      (br_if $again
        (i64.ne
          (local.get $claim)
          (i64.atomic.rmw.cmpxchg offset=${CONTROL.claim}
            (local.get $control)
            (local.get $claim)
            (i64.add (local.get $claim) (i64.const 1)))))
      (call $walk (local.get $job) (local.get $span) (i32.add (local.get $span) (i32.const 1)))
      (drop (i32.atomic.rmw.add offset=${CONTROL.done} (local.get $control) (i32.const 1)))
      (br $again)))
`;
