/** What a patient person writes: WebAssembly SIMD over a table of tensors, one call a step. */
import { compile as assemble } from "watr";
import { fillGradient, fillParameters, type Problem } from "../problem.ts";
import { Arenas, ROLES } from "./arenas.ts";
import { constantsOf } from "./constants.ts";
import type { Contender, Entry } from "./contender.ts";

export const handWritten: Entry = { name: "hand-written SIMD", threads: 1, make: makeHandWritten };

/** Four addresses and where p ends. */
const ROW_BYTES = 20;

type Step = (
  row: number,
  end: number,
  decay: number,
  oneMinusBeta1: number,
  beta2: number,
  oneMinusBeta2: number,
  stepSize: number,
  rootScale: number,
  eps: number,
) => void;

export function makeHandWritten(problem: Problem): Contender {
  const { optimizer, tensors } = problem;
  const arenas = new Arenas(problem, ROW_BYTES * tensors.length);
  const { memory, bases, offsets, table } = arenas;
  const rows = new Uint32Array(memory.buffer, table, (ROW_BYTES / 4) * tensors.length);
  tensors.forEach(({ size }, i) => {
    const addresses = ROLES.map((role) => bases[role] + (offsets[i] as number));
    rows.set([...addresses, (addresses[0] as number) + 4 * size], (ROW_BYTES / 4) * i);
    fillParameters(i, arenas.view("p", i));
    fillGradient(i, arenas.view("g", i));
  });
  const module = new WebAssembly.Module(assemble(TEXT) as Uint8Array<ArrayBuffer>);
  const { step } = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as { step: Step };
  let count = 0;
  return {
    step() {
      const c = constantsOf(optimizer, ++count);
      step(
        table,
        table + rows.byteLength,
        c.decay,
        c.oneMinusBeta1,
        c.beta2,
        c.oneMinusBeta2,
        c.stepSize,
        c.rootScale,
        c.eps,
      );
    },
    parameters: () => tensors.map((_, i) => arenas.view("p", i)),
    dispose() {},
  };
}

/** Tensors are padded to cache lines, so there is no loop over odd elements: what lies beyond a tensor's end is zero and stays zero. */
const TEXT = `(module
  (import "env" "memory" (memory 1 65536 shared))
  (func (export "step") (param $row i32) (param $end i32)
    (param $decay f32) (param $w1 f32) (param $beta2 f32) (param $w2 f32)
    (param $size f32) (param $root f32) (param $eps f32)
    (local $p i32) (local $g i32) (local $m i32) (local $v i32) (local $last i32)
    (local $decays v128) (local $w1s v128) (local $beta2s v128) (local $w2s v128)
    (local $sizes v128) (local $roots v128) (local $epss v128)
    (local $gs v128) (local $ms v128) (local $vs v128)
    (local.set $decays (f32x4.splat (local.get $decay)))
    (local.set $w1s (f32x4.splat (local.get $w1)))
    (local.set $beta2s (f32x4.splat (local.get $beta2)))
    (local.set $w2s (f32x4.splat (local.get $w2)))
    (local.set $sizes (f32x4.splat (local.get $size)))
    (local.set $roots (f32x4.splat (local.get $root)))
    (local.set $epss (f32x4.splat (local.get $eps)))
    (loop $tensors
      (local.set $p (i32.load offset=0 (local.get $row)))
      (local.set $g (i32.load offset=4 (local.get $row)))
      (local.set $m (i32.load offset=8 (local.get $row)))
      (local.set $v (i32.load offset=12 (local.get $row)))
      (local.set $last (i32.load offset=16 (local.get $row)))
      (loop $elements
        (local.set $gs (v128.load (local.get $g)))
        (local.set $ms (v128.load (local.get $m)))
        (local.set $ms
          (f32x4.add (local.get $ms) (f32x4.mul (f32x4.sub (local.get $gs) (local.get $ms)) (local.get $w1s))))
        (local.set $vs
          (f32x4.add
            (f32x4.mul (v128.load (local.get $v)) (local.get $beta2s))
            (f32x4.mul (f32x4.mul (local.get $gs) (local.get $gs)) (local.get $w2s))))
        (v128.store (local.get $m) (local.get $ms))
        (v128.store (local.get $v) (local.get $vs))
        (v128.store (local.get $p)
          (f32x4.sub
            (f32x4.mul (v128.load (local.get $p)) (local.get $decays))
            (f32x4.div
              (f32x4.mul (local.get $ms) (local.get $sizes))
              (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $vs)) (local.get $roots)) (local.get $epss)))))
        (local.set $g (i32.add (local.get $g) (i32.const 16)))
        (local.set $m (i32.add (local.get $m) (i32.const 16)))
        (local.set $v (i32.add (local.get $v) (i32.const 16)))
        (local.set $p (i32.add (local.get $p) (i32.const 16)))
        (br_if $elements (i32.lt_u (local.get $p) (local.get $last))))
      (local.set $row (i32.add (local.get $row) (i32.const ${ROW_BYTES})))
      (br_if $tensors (i32.lt_u (local.get $row) (local.get $end))))))`;
