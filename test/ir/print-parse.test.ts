import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Func } from "../../src/ir/module.ts";
import { parseFunc, parseModule } from "../../src/ir/parse.ts";
import { printFunc, printModule } from "../../src/ir/print.ts";
import { verifyFunc } from "../../src/ir/verify.ts";
import { ODD_NUMBERS, randomFunc } from "./random-func.ts";

const MODULE = `module "SGD + clip"

step phase 1 {
  f64@step  %0 = total clip.1:2
  f64@step  %1 = hyper clip.clipNorm
  f64@step  %2 = div %1 %0              # clip.ts:9:3
  bool@step %3 = finite %2
  give.step2 = %2
  commit = %3
}

scalars "SGD f32" phase 1 {
  f64@step   %0 = given step2
  bool@param  %1 = mask first
  scalar.0 = %0
  scalar.1 = %1
}

step phase 1 on device {
  f64@step  %0 = given step2
  give.step3 = %0
}

scalars "SGD f32" phase 1 on device {
  f64@step  %0 = scalar 0
  scalar.2 = %0
}

kernel "SGD f32" phase 1 flat {
  f32[lead,row,col]  %0 = param
  bool@param         %1 = scalar 1
  f32[lead,row,col]  %2 = const -0
  param' = %0
}

body "SGD f32 nesterov" {
  f32[lead,row,col]       %0 = grad
  f64@param               %1 = size row
  f32[lead,row,row']      %2 = contract col %0 %0
}`;

describe("the printed form", () => {
  test("parses to what it says", () => {
    const { name, funcs } = parseModule(MODULE);
    expect(name).toBe("SGD + clip");
    expect(funcs.map(({ kind, name, phase, on }) => [kind, name, phase, on])).toEqual([
      ["step", "", 1, undefined],
      ["scalars", "SGD f32", 1, undefined],
      ["step", "", 1, "device"],
      ["scalars", "SGD f32", 1, "device"],
      ["kernel", "SGD f32", 1, undefined],
      ["body", "SGD f32 nesterov", undefined, undefined],
    ]);
    expect(funcs[0]?.values[2]).toEqual({
      type: { dtype: "f64", extent: "step" },
      op: "div",
      args: [1, 0],
      source: "clip.ts:9:3",
    });
    expect(funcs[4]?.values[2]?.attribute).toBe(-0);
    expect(funcs[5]?.values[2]).toEqual({
      type: { dtype: "f32", extent: "[lead,row,row']" },
      op: "contract",
      attribute: "col",
      args: [0, 0],
    });
    expect(funcs[1]?.outputs).toEqual([
      { target: "scalar.0", value: 0 },
      { target: "scalar.1", value: 1 },
    ]);
  });

  test("has one spelling: printing what was read changes spaces only", () => {
    const squeeze = (text: string) => text.replace(/ +/g, " ");
    const printed = printModule(parseModule(MODULE));
    expect(squeeze(printed)).toBe(squeeze(MODULE));
    expect(printModule(parseModule(printed))).toBe(printed);
  });

  test.each(ODD_NUMBERS)("keeps the number %d to the bit", (number) => {
    const func: Func = {
      kind: "step",
      name: "",
      values: [{ type: { dtype: "f64", extent: "step" }, op: "const", args: [], attribute: number }],
      outputs: [],
    };
    expect(parseFunc(printFunc(func)).values[0]?.attribute).toBe(number);
  });

  test("says flat where no row, column or size is named, for bodies and kernels", () => {
    const header = (text: string) => printFunc(parseFunc(text)).split("\n")[0];
    expect(header('body "a" {\n f32[lead,row,col] %0 = param\n}')).toBe('body "a" flat {');
    expect(header('body "a" {\n f32[lead,row] %0 = state x\n}')).toBe('body "a" {');
    expect(header('body "a" {\n f64@param %0 = size row\n}')).toBe('body "a" {');
    expect(header('scalars "a" {\n f64@param %0 = stepcount\n}')).toBe('scalars "a" {');
  });

  test("leaves sources out on request", () => {
    const text = 'body "a" {\n f32[lead,row,col] %0 = grad # a.ts:1:2\n}';
    expect(printFunc(parseFunc(text))).toContain("# a.ts:1:2");
    expect(printFunc(parseFunc(text), { sources: false })).not.toContain("#");
  });

  test("random functions verify, and print → parse gives them back", () => {
    fc.assert(
      fc.property(randomFunc, (func) => {
        verifyFunc(func);
        expect(parseFunc(printFunc(func))).toEqual(func);
      }),
      { numRuns: 300 },
    );
  });
});

describe("the parser refuses, saying where", () => {
  const inBody = (line: string) => `module "m"\n\nbody "a" {\n  f32[lead,row,col]  %0 = grad\n  ${line}\n}`;
  test.each([
    ["no module", 'body "a" {\n}', 'line 1: expected module "NAME", got: body "a" {'],
    ["an empty text", "", 'line 0: expected module "NAME", got: the end'],
    [
      "a strange header",
      'module "m"\n\nfunction "a" {\n}',
      'line 3: expected a function\'s header, got: function "a" {',
    ],
    [
      "no end",
      'module "m"\nbody "a" {\n  f32[lead,row,col] %0 = grad',
      "line 3: expected a value, an output or }, got: the end",
    ],
    [
      "a line of nonsense",
      inBody("nonsense here"),
      "line 5: expected a value, an output or }, got: nonsense here",
    ],
    [
      "a value after an output",
      inBody("param' = %0\n  f32[lead,row,col] %1 = grad"),
      "line 6: expected a value, an output or }, got: f32",
    ],
    [
      "an unknown op",
      inBody("f32[lead,row,col] %1 = frobnicate %0"),
      'line 5: "frobnicate" is no op, got: f32[lead,row,col] %1 = frobnicate %0',
    ],
    ["an unknown dtype", inBody("f16[lead,row,col] %1 = neg %0"), 'line 5: "f16[lead,row,col]" is no type'],
    ["an unknown level", inBody("f64@epoch %1 = const 1"), 'line 5: "f64@epoch" is no type'],
    ["axes out of order", inBody("f32[row,lead] %1 = neg %0"), 'line 5: "f32[row,lead]" is no type'],
    ["an axis twice", inBody("f32[row,row] %1 = neg %0"), 'line 5: "f32[row,row]" is no type'],
    [
      "a number out of order",
      inBody("f32[lead,row,col] %3 = neg %0"),
      "line 5: values are numbered in order: expected %1",
    ],
    ["a missing name", inBody("f64@group %1 = hyper"), "line 5: hyper needs a word"],
    ["a missing number", inBody("f64@step %1 = const %0"), "line 5: const needs a number"],
    ["a number that is none", inBody("f64@step %1 = const one"), 'line 5: "one" is no number'],
    ["a word for a value", inBody("f32[lead,row,col] %1 = neg grad"), 'line 5: "grad" is no value'],
  ])("%s", (_, text, message) => {
    expect(() => parseModule(text)).toThrow(
      expect.objectContaining({ code: "ir", message: expect.stringContaining(message) }),
    );
  });
});
