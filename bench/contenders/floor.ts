/**
 * The memory floor: reads p, g, m and v, writes p, m and v, and computes nothing. No step that keeps its state in memory can be
 * faster on this machine, apart from noise. Threads share the arenas in equal parts.
 */
import { Worker } from "node:worker_threads";
import { compile as assemble } from "watr";
import { fillGradient, fillParameters, type Problem } from "../problem.ts";
import { Arenas, ROLES } from "./arenas.ts";
import type { Contender, Entry } from "./contender.ts";

export function floor(threads: number): Entry {
  return { name: "memory floor", threads, make: (problem) => makeFloor(problem, threads) };
}

/** Each written word has its own two cache lines. */
const WORDS = { epoch: 0, done: 32, length: 64 } as const;
const LINE = 64;

function makeFloor(problem: Problem, threads: number): Contender {
  const arenas = new Arenas(problem, 0);
  problem.tensors.forEach((_, i) => {
    fillParameters(i, arenas.view("p", i));
    fillGradient(i, arenas.view("g", i));
  });
  const { memory } = arenas;
  const module = new WebAssembly.Module(assemble(TEXT) as Uint8Array<ArrayBuffer>);
  const { touch } = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as {
    touch: (...addresses: number[]) => void;
  };
  const words = new Int32Array(new SharedArrayBuffer(4 * WORDS.length));
  const parts = partsOf(arenas, threads);
  const workers = parts.slice(1).map((addresses) => {
    const workerData = { memory, module, words, addresses };
    return new Worker(WORKER_TEXT, { eval: true, execArgv: [], workerData });
  });
  const own = parts[0] as readonly number[];
  let epoch = 0;
  return {
    step() {
      epoch++;
      Atomics.store(words, WORDS.epoch, epoch);
      if (workers.length > 0) Atomics.notify(words, WORDS.epoch);
      touch(...own);
      while (Atomics.load(words, WORDS.done) !== epoch * workers.length);
    },
    dispose() {
      for (const worker of workers) void worker.terminate();
    },
  };
}

/** For each thread: where its part of each arena starts, and where its part of p ends. */
function partsOf({ bases, bytes }: Arenas, threads: number): number[][] {
  const edge = (thread: number) => Math.round(((thread / threads) * bytes) / LINE) * LINE;
  return Array.from({ length: threads }, (_, thread) => [
    ...ROLES.map((role) => bases[role] + edge(thread)),
    bases.p + edge(thread + 1),
  ]);
}

/** Awake while steps follow each other, asleep while others have their turns. */
const WORKER_TEXT = `"use strict";
const { memory, module, words, addresses } = require("node:worker_threads").workerData;
const { touch } = new WebAssembly.Instance(module, { env: { memory } }).exports;
for (let epoch = 0; ; epoch++) {
  const end = performance.now() + 0.2;
  while (Atomics.load(words, ${WORDS.epoch}) === epoch)
    if (performance.now() > end) Atomics.wait(words, ${WORDS.epoch}, epoch);
  touch(...addresses);
  Atomics.add(words, ${WORDS.done}, 1);
}
`;

/** A cache line a turn. p gets p xor g, so that g has to be read; bits are not arithmetic. */
const TEXT = `(module
  (import "env" "memory" (memory 1 65536 shared))
  (func (export "touch") (param $p i32) (param $g i32) (param $m i32) (param $v i32) (param $end i32)
    (loop $lines
${[0, 16, 32, 48]
  .map(
    (at) => `\
      (v128.store offset=${at} (local.get $p)
        (v128.xor (v128.load offset=${at} (local.get $p)) (v128.load offset=${at} (local.get $g))))
      (v128.store offset=${at} (local.get $m) (v128.load offset=${at} (local.get $m)))
      (v128.store offset=${at} (local.get $v) (v128.load offset=${at} (local.get $v)))`,
  )
  .join("\n")}
      (local.set $g (i32.add (local.get $g) (i32.const ${LINE})))
      (local.set $m (i32.add (local.get $m) (i32.const ${LINE})))
      (local.set $v (i32.add (local.get $v) (i32.const ${LINE})))
      (local.set $p (i32.add (local.get $p) (i32.const ${LINE})))
      (br_if $lines (i32.lt_u (local.get $p) (local.get $end))))))`;
