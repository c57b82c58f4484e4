import { expect, test } from "vitest";
import { parseFunc } from "../../src/ir/parse.ts";
import { eliminateCommonSubexpressions } from "../../src/passes/cse.ts";
import { body, expectText, through } from "./text.ts";

const shared = (lines: string) => through([eliminateCommonSubexpressions], body(lines));
const becomes = (before: string, after: string) => expectText(shared(before), body(after));
const stays = (lines: string) => becomes(lines, lines);

const inputs = "f32[lead,row,col] %0 = param\nf32[lead,row,col] %1 = grad";

test("what is computed twice is computed once, inputs and constants included", () =>
  becomes(
    `${inputs}
     f32[lead,row,col] %2 = grad
     f32[lead,row,col] %3 = mul %1 %1
     f32[lead,row,col] %4 = mul %2 %2
     f64@step %5 = const 2
     f64@step %6 = const 2
     f32[lead,row,col] %7 = broadcast %5
     f32[lead,row,col] %8 = broadcast %6
     f32[lead,row,col] %9 = add %3 %7
     f32[lead,row,col] %10 = add %4 %8
     param' = %9
     state.m' = %10`,
    `${inputs}
     f32[lead,row,col] %2 = mul %1 %1
     f64@step %3 = const 2
     f32[lead,row,col] %4 = broadcast %3
     f32[lead,row,col] %5 = add %2 %4
     param' = %5
     state.m' = %5`,
  ));

test.each(["add", "mul", "min", "max"])("%s is the same in either order", (op) =>
  becomes(
    `${inputs}\nf32[lead,row,col] %2 = ${op} %0 %1\nf32[lead,row,col] %3 = ${op} %1 %0\nf32[lead,row,col] %4 = sub %2 %3\nparam' = %4`,
    `${inputs}\nf32[lead,row,col] %2 = ${op} %0 %1\nf32[lead,row,col] %3 = sub %2 %2\nparam' = %3`,
  ),
);

test.each(["sub", "div", "pow"])("%s is not", (op) =>
  stays(
    `${inputs}\nf32[lead,row,col] %2 = ${op} %0 %1\nf32[lead,row,col] %3 = ${op} %1 %0\nf32[lead,row,col] %4 = sub %2 %3\nparam' = %4`,
  ),
);

test("what differs in type, name or sign of zero stays apart", () => {
  stays(
    "f64@group %0 = hyper lr\nf64@param %1 = broadcast %0\nf32[lead,row,col] %2 = broadcast %0\nparam' = %2\nstate.m' = %1",
  );
  stays(
    "f32[lead,row,col] %0 = state a\nf32[lead,row,col] %1 = state b\nf32[lead,row,col] %2 = add %0 %1\nparam' = %2",
  );
  stays(
    "f64@step %0 = const 0\nf64@step %1 = const -0\nf32[lead,row,col] %2 = broadcast %0\nf32[lead,row,col] %3 = broadcast %1\nparam' = %2\nstate.m' = %3",
  );
});

test("the first one's source stays", () => {
  const func = parseFunc(
    body(
      `${inputs}\nf32[lead,row,col] %2 = mul %1 %1 # a.ts:1:1\nf32[lead,row,col] %3 = mul %1 %1 # a.ts:2:2\nparam' = %3`,
    ),
  );
  const [result] = eliminateCommonSubexpressions({ name: "m", funcs: [func] }).funcs;
  expect(result?.values.map(({ source }) => source)).toEqual([undefined, undefined, "a.ts:1:1"]);
});
