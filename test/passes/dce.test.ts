import { expect, test } from "vitest";
import { eliminateDeadCode } from "../../src/passes/dce.ts";
import { body, expectText, through } from "./text.ts";

const live = (lines: string) => through([eliminateDeadCode], body(lines));

test("a gradient that nothing reads is not loaded", () =>
  expectText(
    live(
      "f32[lead,row,col] %0 = param\nf32[lead,row,col] %1 = grad\nf32[lead,row,col] %2 = neg %1\nparam' = %0",
    ),
    body("f32[lead,row,col] %0 = param\nparam' = %0"),
  ));

test("what any output needs stays, in order and renumbered", () =>
  expectText(
    live(
      `f32[lead,row,col] %0 = param
       f32[lead,row,col] %1 = state unread
       f32[lead,row,col] %2 = grad
       f64@step %3 = const 3
       f64@param %4 = reduce.sum %2
       f64@group %5 = reduce.sum %2
       f32[lead,row,col] %6 = broadcast %4
       param' = %6
       total.n = %5
       state.m' = %0`,
    ),
    body(
      `f32[lead,row,col] %0 = param
       f32[lead,row,col] %1 = grad
       f64@param %2 = reduce.sum %1
       f64@group %3 = reduce.sum %1
       f32[lead,row,col] %4 = broadcast %2
       param' = %4
       total.n = %3
       state.m' = %0`,
    ),
  ));

test("a function without outputs is empty", () =>
  expect(live("f32[lead,row,col] %0 = param")).toBe('module "m"\n\nbody "C" flat {\n}'));
