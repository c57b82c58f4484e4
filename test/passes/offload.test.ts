import { test } from "vitest";
import { offload } from "../../src/passes/offload.ts";
import { expectText, through } from "./text.ts";

const becomes = (before: string, after: string, resident: readonly string[] = []) =>
  expectText(through([(module) => offload(module, new Set(resident))], before), after);

const stays = (text: string, resident: readonly string[] = []) => becomes(text, text, resident);

/** The step is given up where a total says so. */
const COMMIT = `step phase 1 {
  f64@step %0 = total bad
  f64@step %1 = const 1
  bool@step %2 = less %0 %1
  commit = %2
}`;

const COMMIT_ON_DEVICE = COMMIT.replace("phase 1", "phase 1 on device");

test("what waits for no reduction stays as it is, whatever it reads", () =>
  stays(
    `step phase 0 {
       f64@step %0 = hyper scale
       give.s = %0
     }
     scalars "C" phase 0 {
       f64@step %0 = given s
       f64@param %1 = stepcount
       bool@param %2 = mask first
       f64@param %3 = state mu
       f64@param %4 = numel
       f64@param %5 = pow %3 %4
       scalar.0 = %0
       scalar.1 = %1
       scalar.2 = %2
       state.mu' = %5
     }
     kernel "C" phase 0 {
       f32[lead,row,col] %0 = grad
       param' = %0
     }`,
    ["lr"],
  ));

test("a step body's host numbers travel as gives; constants are copied; kernels and their order stay", () =>
  becomes(
    `scalars "C" phase 0 {
       f64@group %0 = hyper lr
       scalar.0 = %0
     }
     kernel "C" phase 0 {
       f32[lead,row,col] %0 = grad
       f64@step %1 = reduce.sum %0
       total.n = %1
     }
     step phase 1 {
       f64@step %0 = total n
       f64@step %1 = hyper clipNorm
       f64@step %2 = const 2
       f64@step %3 = mul %1 %2
       f64@step %4 = add %0 %2
       f64@step %5 = div %3 %4
       give.c = %5
     }
     scalars "C" phase 1 {
       f64@step %0 = given c
       scalar.1 = %0
     }
     kernel "C" phase 1 {
       f32[lead,row,col] %0 = grad
       param' = %0
     }`,
    `step phase 0 {
       f64@step %0 = hyper clipNorm
       f64@step %1 = const 2
       f64@step %2 = mul %0 %1
       give.host0 = %2
     }
     scalars "C" phase 0 {
       f64@group %0 = hyper lr
       scalar.0 = %0
     }
     kernel "C" phase 0 {
       f32[lead,row,col] %0 = grad
       f64@step %1 = reduce.sum %0
       total.n = %1
     }
     step phase 1 on device {
       f64@step %0 = total n
       f64@step %1 = const 2
       f64@step %2 = given host0
       f64@step %3 = add %0 %1
       f64@step %4 = div %2 %3
       give.c = %4
     }
     scalars "C" phase 1 on device {
       f64@step %0 = given c
       scalar.1 = %0
     }
     kernel "C" phase 1 {
       f32[lead,row,col] %0 = grad
       param' = %0
     }`,
  ));

test("gives and slots that the host fills anyway carry its numbers; new names collide with none", () =>
  becomes(
    `step phase 0 {
       f64@step %0 = hyper a
       give.host0 = %0
     }
     step phase 1 {
       f64@step %0 = total n
       f64@step %1 = hyper a
       f64@step %2 = hyper b
       f64@step %3 = mul %0 %1
       f64@step %4 = mul %3 %2
       give.host1 = %4
     }
     scalars "C" phase 0 {
       f64@group %0 = hyper lr
       scalar.0 = %0
     }
     scalars "C" phase 1 {
       f64@group %0 = hyper lr
       f64@step %1 = given host1
       f64@step %2 = given host0
       f64@group %3 = broadcast %1
       f64@group %4 = mul %0 %3
       f64@group %5 = broadcast %2
       f64@group %6 = mul %4 %5
       scalar.4 = %6
     }`,
    `step phase 0 {
       f64@step %0 = hyper a
       f64@step %1 = hyper b
       give.host0 = %0
       give.host2 = %1
     }
     scalars "C" phase 0 {
       f64@group %0 = hyper lr
       f64@step %1 = given host0
       scalar.0 = %0
       scalar.5 = %1
     }
     step phase 1 on device {
       f64@step %0 = given host0
       f64@step %1 = total n
       f64@step %2 = given host2
       f64@step %3 = mul %1 %0
       f64@step %4 = mul %3 %2
       give.host1 = %4
     }
     scalars "C" phase 1 on device {
       f64@group %0 = scalar 0
       f64@step %1 = given host1
       f64@step %2 = scalar 5
       f64@group %3 = broadcast %1
       f64@group %4 = mul %0 %3
       f64@group %5 = broadcast %2
       f64@group %6 = mul %4 %5
       scalar.4 = %6
     }`,
  ));

test("the host's work of all phases becomes one function of phase 0; each device part keeps its phase", () =>
  becomes(
    `scalars "C" phase 1 {
       f64@param %0 = total local0
       f64@param %1 = numel
       f64@param %2 = div %0 %1
       scalar.0 = %2
     }
     scalars "C" phase 2 {
       f64@param %0 = total local1
       f64@param %1 = numel
       f64@group %2 = hyper lr
       bool@param %3 = mask present
       f64@param %4 = div %0 %1
       f64@param %5 = broadcast %2
       f64@param %6 = select %3 %4 %5
       scalar.1 = %6
       scalar.2 = %2
     }
     scalars "D" phase 2 {
       f64@param %0 = size row
       scalar.0 = %0
     }`,
    `scalars "C" phase 0 {
       f64@param %0 = numel
       f64@group %1 = hyper lr
       bool@param %2 = mask present
       scalar.2 = %1
       scalar.3 = %0
       scalar.4 = %2
     }
     scalars "D" phase 0 {
       f64@param %0 = size row
       scalar.0 = %0
     }
     scalars "C" phase 1 on device {
       f64@param %0 = total local0
       f64@param %1 = scalar 3
       f64@param %2 = div %0 %1
       scalar.0 = %2
     }
     scalars "C" phase 2 on device {
       f64@param %0 = scalar 3
       f64@param %1 = total local1
       f64@group %2 = scalar 2
       bool@param %3 = scalar 4
       f64@param %4 = div %1 %0
       f64@param %5 = broadcast %2
       f64@param %6 = select %3 %4 %5
       scalar.1 = %6
     }`,
  ));

test("hyperparameters that live on the device are read there", () => {
  const text = (header: string) => `scalars "C" ${header} {
    f64@group %0 = hyper lr
    f64@group %1 = hyper betas.0
    f64@group %2 = mul %0 %1
    scalar.0 = %2
  }`;
  becomes(text("phase 0"), text("phase 0 on device"), ["lr", "betas.0"]);
  becomes(
    text("phase 0"),
    `scalars "C" phase 0 {
       f64@group %0 = hyper betas.0
       scalar.1 = %0
     }
     scalars "C" phase 0 on device {
       f64@group %0 = hyper lr
       f64@group %1 = scalar 1
       f64@group %2 = mul %0 %1
       scalar.0 = %2
     }`,
    ["lr"],
  );
  stays(text("phase 0"), ["betas"]);
});

test("a hyperparameter of the step is the host's, even under the name of one that lives on the device", () =>
  stays(
    'step phase 0 {\nf64@step %0 = hyper lr\ngive.a = %0\n}\nscalars "C" phase 0 {\nf64@step %0 = given a\nscalar.0 = %0\n}',
    ["lr"],
  ));

test("with a commit the device knows step counts, which state is new, and state of one number, also what the host computes for it", () =>
  becomes(
    `scalars "C" phase 0 {
       f64@param %0 = stepcount
       f64@group %1 = hyper lr
       f64@param %2 = state mu
       bool@param %3 = mask first
       bool@param %4 = mask summed
       f64@param %5 = broadcast %1
       f64@param %6 = div %5 %0
       bool@param %7 = or %3 %4
       scalar.0 = %6
       scalar.1 = %7
       scalar.2 = %2
     }
     ${COMMIT}
     scalars "C" phase 1 {
       f64@group %0 = hyper lr
       f64@param %1 = broadcast %0
       f64@param %2 = neg %1
       state.mu' = %2
     }`,
    `scalars "C" phase 0 {
       f64@group %0 = hyper lr
       bool@param %1 = mask summed
       f64@param %2 = broadcast %0
       f64@param %3 = neg %2
       scalar.3 = %0
       scalar.4 = %1
       scalar.5 = %3
     }
     scalars "C" phase 0 on device {
       f64@param %0 = stepcount
       f64@group %1 = scalar 3
       f64@param %2 = state mu
       bool@param %3 = mask first
       bool@param %4 = scalar 4
       f64@param %5 = broadcast %1
       f64@param %6 = div %5 %0
       bool@param %7 = or %3 %4
       scalar.0 = %6
       scalar.1 = %7
       scalar.2 = %2
     }
     ${COMMIT_ON_DEVICE}
     scalars "C" phase 1 on device {
       f64@param %0 = scalar 5
       state.mu' = %0
     }`,
  ));

test("a commit that the host knows leaves it all it knows", () =>
  stays(
    `step phase 0 {
       f64@step %0 = hyper scale
       bool@step %1 = finite %0
       commit = %1
     }
     scalars "C" phase 0 {
       f64@param %0 = stepcount
       scalar.0 = %0
     }`,
  ));

test("state of one number that a total changes lives on the device, and so does state that it changes", () =>
  becomes(
    `scalars "C" phase 1 {
       f64@param %0 = state a
       f64@param %1 = state b
       f64@param %2 = state c
       f64@param %3 = total local0
       f64@param %4 = add %1 %0
       state.a' = %4
       state.b' = %3
       state.c' = %2
     }`,
    `scalars "C" phase 0 {
       f64@param %0 = state c
       state.c' = %0
     }
     scalars "C" phase 1 on device {
       f64@param %0 = state a
       f64@param %1 = state b
       f64@param %2 = total local0
       f64@param %3 = add %1 %0
       state.a' = %3
       state.b' = %2
     }`,
  ));

test("1 - pow, on the device, is -expm1 of a logarithm that the host takes; log 0 is a large finite number", () =>
  becomes(
    `scalars "C" phase 0 {
       f64@group %0 = hyper beta
       f64@param %1 = stepcount
       f64@param %2 = broadcast %0
       f64@param %3 = pow %2 %1
       f64@step %4 = const 1
       f64@param %5 = broadcast %4
       f64@param %6 = sub %5 %3
       scalar.0 = %6
     }
     ${COMMIT}`,
    `scalars "C" phase 0 {
       f64@group %0 = hyper beta
       f64@param %1 = broadcast %0
       f64@step %2 = const 0
       f64@param %3 = broadcast %2
       bool@param %4 = equal %1 %3
       f64@step %5 = const -1e30
       f64@param %6 = log %1
       f64@param %7 = broadcast %5
       f64@param %8 = select %4 %7 %6
       scalar.1 = %8
     }
     scalars "C" phase 0 on device {
       f64@param %0 = stepcount
       f64@param %1 = scalar 1
       f64@param %2 = mul %0 %1
       f64@param %3 = expm1 %2
       f64@param %4 = neg %3
       scalar.0 = %4
     }
     ${COMMIT_ON_DEVICE}`,
  ));

/** `lines` compute %9 from the step count %0 in a module with a commit. */
const onDevice = (lines: string, after: string) => {
  const scalars = (header: string, text: string) =>
    `scalars "C" ${header} {\nf64@param %0 = stepcount\n${text}\n}`;
  becomes(
    `${scalars("phase 0", lines)}\n${COMMIT}`,
    `${scalars("phase 0 on device", after)}\n${COMMIT_ON_DEVICE}`,
  );
};

test("other powers are exp of e log b; of a constant the logarithm is a constant", () => {
  onDevice(
    `f64@step %1 = const 0.5
     f64@param %2 = broadcast %1
     f64@param %3 = pow %2 %0
     scalar.0 = %3`,
    `f64@step %1 = const ${Math.log(0.5)}
     f64@param %2 = broadcast %1
     f64@param %3 = mul %0 %2
     f64@param %4 = exp %3
     scalar.0 = %4`,
  );
  onDevice(
    `f64@step %1 = const -0.8
     f64@param %2 = broadcast %1
     f64@param %3 = pow %0 %2
     scalar.0 = %3`,
    `f64@step %1 = const -0.8
     f64@param %2 = broadcast %1
     f64@step %3 = const 0
     f64@param %4 = broadcast %3
     bool@param %5 = equal %0 %4
     f64@step %6 = const -1e30
     f64@param %7 = log %0
     f64@param %8 = broadcast %6
     f64@param %9 = select %5 %8 %7
     f64@param %10 = mul %2 %9
     f64@param %11 = exp %10
     scalar.0 = %11`,
  );
});

test("whole constant exponents are multiplied out", () => {
  onDevice(
    `f64@step %1 = const 5
     f64@param %2 = broadcast %1
     f64@param %3 = pow %0 %2
     scalar.0 = %3`,
    `f64@param %1 = mul %0 %0
     f64@param %2 = mul %1 %1
     f64@param %3 = mul %2 %0
     scalar.0 = %3`,
  );
  onDevice(
    `f64@step %1 = const -1
     f64@param %2 = broadcast %1
     f64@param %3 = pow %0 %2
     scalar.0 = %3`,
    `f64@step %1 = const 1
     f64@param %2 = broadcast %1
     f64@param %3 = div %2 %0
     scalar.0 = %3`,
  );
});
