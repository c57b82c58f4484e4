import { describe, expect, test } from "vitest";
import type { Func } from "../../src/ir/module.ts";
import { parseFunc, parseModule } from "../../src/ir/parse.ts";
import { verifyFunc, verifyModule } from "../../src/ir/verify.ts";

const INPUTS = `
  f32[lead,row,col]   %0 = param
  f32[lead,row,col]   %1 = grad
  f64@group           %2 = hyper lr
  bool@param          %3 = mask first
  f32[lead,row]       %4 = state rows
  f64@step            %5 = const 2
  bool[lead,row,col]  %6 = less %0 %1`;

/** A body with some inputs and these lines. */
const body = (lines: string) => `body "SGD f32" {${INPUTS}\n${lines}\n}`;

describe("what verifies", () => {
  test.each([
    ["arithmetic on elements", "f32[lead,row,col] %7 = mul %0 %1"],
    ["arithmetic on rows", "f32[lead,row] %7 = sqrt %4"],
    ["arithmetic above elements", "f64@group %7 = neg %2"],
    ["logic", "bool[lead,row,col] %7 = not %6"],
    ["a test of one number", "bool[lead,row,col] %7 = finite %0"],
    ["every mask of a parameter", "bool@param %7 = mask present\nbool@param %8 = mask summed"],
    ["a new gradient", "grad' = %1"],
    ["a select of numbers", "f32[lead,row,col] %7 = select %6 %0 %1"],
    ["a select of masks", "bool[lead,row,col] %7 = select %6 %6 %6"],
    ["a widened level", "f32[lead,row,col] %7 = broadcast %2"],
    ["a widened mask", "bool[lead,row,col] %7 = broadcast %3"],
    ["a row widened", "f32[lead,row,col] %7 = broadcast %4"],
    ["a level widened to a level", "f64@param %7 = broadcast %2"],
    ["a sum to rows", "f32[lead,row] %7 = reduce.sum %0"],
    ["a sum to the group", "f64@group %7 = reduce.sum %0\ntotal.n = %7"],
    ["a product of rows", "f32[lead,row,row'] %7 = contract col %0 %1"],
    ["new state", "param' = %0\nstate.rows' = %4"],
  ])("%s", (_, lines) => verifyFunc(parseFunc(body(lines))));

  test("contract: the second operand's free axes become fresh where the first has them", () => {
    const contract = (result: string) =>
      parseFunc(`body "a" {
        f32[lead,row,col] %0 = param
        f32[lead,row]     %1 = state rows
        ${result}
      }`);
    verifyFunc(contract("f32[lead,row,row'] %2 = contract col %0 %0"));
    verifyFunc(contract("f32[lead,col,col'] %2 = contract row %0 %0"));
    verifyFunc(contract("f32[lead,col] %2 = contract row %0 %1"));
    verifyFunc(contract("f32[lead] %2 = contract row %1 %1"));
  });
});

describe("what does not, and the message", () => {
  test.each([
    ["too few operands", "f32[lead,row,col] %7 = mul %0", "mul %0: takes 2 arguments, has 1"],
    ["too many operands", "f32[lead,row,col] %7 = neg %0 %1", "takes 1 arguments, has 2"],
    ["a later value", "f32[lead,row,col] %7 = mul %0 %8", "%8 is not an earlier value"],
    ["itself", "f32[lead,row,col] %7 = mul %0 %7", "%7 is not an earlier value"],
    ["f32 above elements", "f32@group %7 = neg %2", "values above elements are f64"],

    [
      "map: operands of two extents",
      "f32[lead,row,col] %7 = mul %0 %4",
      "f32[lead,row] is not f32[lead,row,col]",
    ],
    ["map: operands of two dtypes", "f64@group %7 = mul %2 %5", "f64@step is not f64@group"],
    [
      "map: a result of another type",
      "f64[lead,row,col] %7 = mul %0 %1",
      "f32[lead,row,col] is not f64[lead,row,col]",
    ],
    ["map: of masks", "bool[lead,row,col] %7 = add %6 %6", "gives a number"],
    [
      "map: a mask among numbers",
      "f32[lead,row,col] %7 = add %0 %6",
      "bool[lead,row,col] is not f32[lead,row,col]",
    ],

    ["compare: a number as result", "f32[lead,row,col] %7 = less %0 %1", "f32[lead,row,col] is no mask"],
    [
      "compare: of different operands",
      "bool[lead,row,col] %7 = less %0 %4",
      "f32[lead,row,col] is not f32[lead,row]",
    ],
    [
      "compare: elsewhere",
      "bool[lead,row] %7 = less %0 %1",
      "f32[lead,row,col] does not live where bool[lead,row] does",
    ],
    ["compare: of masks", "bool[lead,row,col] %7 = equal %6 %6", "compares numbers, not masks"],

    ["logic: of numbers", "bool[lead,row,col] %7 = and %6 %0", "f32[lead,row,col] is no mask"],
    ["logic: a number as result", "f32[lead,row,col] %7 = not %6", "f32[lead,row,col] is no mask"],
    [
      "logic: elsewhere",
      "bool[lead,row,col] %7 = or %6 %3",
      "bool@param does not live where bool[lead,row,col] does",
    ],

    ["select: by a number", "f32[lead,row,col] %7 = select %0 %0 %1", "f32[lead,row,col] is no mask"],
    [
      "select: by a mask elsewhere",
      "f32[lead,row,col] %7 = select %3 %0 %1",
      "bool@param does not live where f32[lead,row,col] does",
    ],
    [
      "select: of different sides",
      "f32[lead,row,col] %7 = select %6 %0 %4",
      "f32[lead,row] is not f32[lead,row,col]",
    ],

    [
      "broadcast: narrowing",
      "f32[lead,row] %7 = broadcast %0",
      "f32[lead,row,col] does not widen to f32[lead,row]",
    ],
    ["broadcast: to a higher level", "f64@step %7 = broadcast %2", "f64@group does not widen to f64@step"],
    ["broadcast: to itself", "f64@group %7 = broadcast %2", "f64@group does not widen to f64@group"],
    ["broadcast: across", "f32[lead,col] %7 = broadcast %4", "f32[lead,row] does not widen to f32[lead,col]"],
    [
      "broadcast: a number made a mask",
      "bool[lead,row,col] %7 = broadcast %2",
      "f64@group is not bool[lead,row,col]",
    ],
    [
      "broadcast: rounding among elements",
      "f64[lead,row,col] %7 = broadcast %4",
      "f32[lead,row] is not f64[lead,row,col]",
    ],
    [
      "broadcast: a mask made a number",
      "f32[lead,row,col] %7 = broadcast %3",
      "bool@param is not f32[lead,row,col]",
    ],

    ["reduce: of masks", "f64@param %7 = reduce.sum %6", "reduces numbers, not masks"],
    ["reduce: of a group's number", "f64@step %7 = reduce.sum %2", "reduces elements or parameters"],
    [
      "reduce: widening",
      "f32[lead,row,col] %7 = reduce.sum %4",
      "f32[lead,row] does not narrow to f32[lead,row,col]",
    ],
    [
      "reduce: to itself",
      "f32[lead,row,col] %7 = reduce.max %0",
      "f32[lead,row,col] does not narrow to f32[lead,row,col]",
    ],
    ["reduce: rounding", "f64[lead,row] %7 = reduce.sum %0", "gives f32"],

    [
      "contract: over a lost axis",
      "f32[lead,row] %7 = contract col %0 %4",
      "both operands need the axis col",
    ],
    [
      "contract: over no axis",
      "f32[lead,row,row'] %7 = contract depth %0 %1",
      "both operands need the axis depth",
    ],
    ["contract: without fresh axes", "f32[lead,row] %7 = contract col %0 %1", "gives f32[lead,row,row']"],
    [
      "contract: of columns, without col'",
      "f32[lead,col] %7 = contract row %0 %1",
      "gives f32[lead,col,col']",
    ],
    ["contract: of masks", "f32[lead,row,row'] %7 = contract col %6 %6", "operands and result differ"],
    ["contract: rounding", "f64[lead,row,row'] %7 = contract col %0 %1", "operands and result differ"],

    ["param at a level", "f64@param %7 = param", "param does not live at f64@param"],
    ["grad of rows", "f32[lead,row] %7 = grad", "grad does not live at f32[lead,row]"],
    ["state of the group", "f64@group %7 = state x", "state does not live at f64@group"],
    ["hyper of a parameter", "f64@param %7 = hyper lr", "hyper does not live at f64@param"],
    ["a constant of the group", "f64@group %7 = const 1", "const does not live at f64@group"],
    ["a count of the group", "f64@group %7 = stepcount", "stepcount does not live at f64@group"],
    ["given to a group", "f64@group %7 = given x", "given does not live at f64@group"],
    ["first as a number", "f64@param %7 = mask first", "is a mask"],
    ["a mask of elements", "bool[lead,row,col] %7 = mask first", "mask does not live at bool[lead,row,col]"],
    [
      "a mask nobody knows",
      "bool@param %7 = mask last",
      "there is no mask last: there are first, present, summed",
    ],
    ["a finite mask", "bool[lead,row,col] %7 = finite %6", "compares numbers, not masks"],
    ["a test that gives a number", "f32[lead,row,col] %7 = finite %0", "is no mask"],
    ["a gradient of rows", "grad' = %4", "f32[lead,row] does not fit"],
    ["hyper as a mask", "bool@group %7 = hyper lr", "is a number"],

    ["a total of a mask", "total.n = %3", "bool@param does not fit"],
    ["a total of elements", "total.n = %0", "f32[lead,row,col] does not fit"],
    ["a parameter of rows", "param' = %4", "f32[lead,row] does not fit"],
    ["a mask as parameter", "param' = %6", "bool[lead,row,col] does not fit"],
    ["a mask as state", "state.x' = %6", "bool[lead,row,col] does not fit"],
    ["a group's state", "state.x' = %2", "f64@group does not fit"],
    ["an unknown target", "result = %0", "a body function does not write result"],
    ["a slot in a body", "scalar.0 = %2", "a body function does not write scalar.0"],
    ["a gift in a body", "give.x = %5", "a body function does not write give.x"],
    ["commit in a body", "commit = %3", "a body function does not write commit"],
    ["one target twice", "param' = %0\nparam' = %1", "param' = %1: written twice"],
    ["an output of nothing", "param' = %9", "param' = %9: no such value"],
  ])("%s", (_, lines, message) => {
    const func = parseFunc(body(lines));
    expect(() => verifyFunc(func)).toThrow(
      expect.objectContaining({ code: "ir", message: expect.stringContaining(message) }),
    );
    expect(() => verifyFunc(func)).toThrow('body "SGD f32": ');
  });
});

describe("inputs and targets by kind of function", () => {
  test.each([
    ["step", "f32[lead,row,col] %0 = param", "a step function does not read param"],
    ["step", "f64@param %0 = stepcount", "a step function does not read stepcount"],
    ["step", "f64@step %0 = given x", "a step function does not read given"],
    ["scalars", "f32[lead,row,col] %0 = grad", "a scalars function does not read grad"],
    ["scalars", "f64@group %0 = scalar 1", "a scalars function does not read scalar"],
    ["kernel", "f64@group %0 = hyper lr", "a kernel function does not read hyper"],
    ["kernel", "f64@param %0 = numel", "a kernel function does not read numel"],
    ["kernel", "f64@param %0 = total n", "a kernel function reads no total at f64@param"],
    ["scalars", "f64[lead,row] %0 = total n", "a scalars function reads no total at f64[lead,row]"],
    ["step", "f64@step %0 = const 1\nparam' = %0", "a step function does not write param'"],
    ["scalars", "f64@step %0 = const 1\ntotal.n = %0", "a scalars function does not write total.n"],
    ["kernel", "f64@step %0 = const 1\nscalar.0 = %0", "a kernel function does not write scalar.0"],
    ["step", "f64@step %0 = const 1\ncommit = %0", "f64@step does not fit"],
    ["step", "f64@group %0 = hyper lr\ngive.x = %0", "f64@group does not fit"],
    ["step", "bool@param %0 = mask first", "a step function does not read mask"],
    ["kernel", "bool@param %0 = mask first", "a kernel function does not read mask"],
    ["scalars", "f64@step %0 = const 1\ngrad' = %0", "a scalars function does not write grad'"],
  ])("%s: %s", (kind, lines, message) => {
    expect(() => verifyFunc(parseFunc(`${kind} "a" {\n${lines}\n}`))).toThrow(message);
  });

  test("each kind reads and writes what is its own", () => {
    verifyFunc(
      parseFunc("step {\nf64@step %0 = total n\nbool@step %1 = less %0 %0\ngive.x = %0\ncommit = %1\n}"),
    );
    verifyFunc(
      parseFunc(
        'scalars "a" {\nf64@param %0 = total n\nf64@step %1 = given x\nscalar.0 = %0\nstate.m\' = %0\n}',
      ),
    );
    verifyFunc(
      parseFunc('kernel "a" {\nf32[lead,row,col] %0 = state m\nbool@param %1 = scalar 0\nstate.m\' = %0\n}'),
    );
  });
});

describe("on a device", () => {
  test("step bodies hear of the host by gives, scalar programs by slots", () => {
    verifyFunc(
      parseFunc(
        "step phase 1 on device {\nf64@step %0 = total n\nf64@step %1 = given host0\nf64@step %2 = div %0 %1\ngive.x = %2\n}",
      ),
    );
    verifyFunc(
      parseFunc(
        `scalars "a" phase 1 on device {
           f64@param %0 = scalar 1
           f64@group %1 = hyper lr
           f64@param %2 = stepcount
           f64@param %3 = state mu
           bool@param %4 = mask first
           bool@param %5 = scalar 2
           f64@step %6 = given c
           state.mu' = %0
           scalar.0 = %4
         }`,
      ),
    );
  });

  test.each([
    ["step phase 1", "f64@step %0 = hyper lr", "a step function on a device does not read hyper"],
    ["step phase 1", "f64@param %0 = stepcount", "a step function on a device does not read stepcount"],
    ['scalars "a" phase 1', "f64@param %0 = numel", "a scalars function on a device does not read numel"],
    ['scalars "a" phase 1', "f64@param %0 = size row", "a scalars function on a device does not read size"],
    ['scalars "a" phase 1', "f64@step %0 = hyper lr", "hyper at f64@step is the host's"],
    ['scalars "a"', "", "what runs on a device has a phase"],
    ['kernel "a" phase 1', "", "only step bodies and scalar programs run on a device"],
    ['body "a" phase 1', "", "only step bodies and scalar programs run on a device"],
  ])("%s: %s", (header, lines, message) => {
    expect(() => verifyFunc(parseFunc(`${header} on device {\n${lines}\n}`))).toThrow(message);
  });

  test("a function on either side is two functions, one on the same side twice is not", () => {
    const here = 'scalars "a" phase 0 {\n}';
    const there = 'scalars "a" phase 0 on device {\n}';
    verifyModule(parseModule(`module "m"\n${here}\n${there}`));
    expect(() => verifyModule(parseModule(`module "m"\n${there}\n${there}`))).toThrow(
      'module "m" has scalars "a" phase 0 on device twice',
    );
  });
});

describe("what a text cannot say", () => {
  const value = { type: { dtype: "f64", extent: "step" }, args: [] } as const;
  const func = (values: Func["values"]): Func => ({ kind: "step", name: "", values, outputs: [] });
  test.each<[string, Func["values"][number], string]>([
    ["a constant without a number", { ...value, op: "const" }, "needs a number"],
    ["a constant with a word", { ...value, op: "const", attribute: "one" }, "needs a number"],
    ["a name where none belongs", { ...value, op: "neg", args: [0], attribute: "x" }, "takes no attribute"],
  ])("%s", (_, wrong, message) => {
    expect(() => verifyFunc(func([{ ...value, op: "const", attribute: 1 }, wrong]))).toThrow(message);
  });

  test("a function twice in a module", () => {
    const one = 'body "a" phase 0 {\n}';
    expect(() => verifyModule(parseModule(`module "m"\n${one}\n${one}`))).toThrow(
      'module "m" has body "a" phase 0 twice',
    );
    verifyModule(parseModule(`module "m"\n${one}\nbody "a" phase 1 {\n}`));
  });
});
