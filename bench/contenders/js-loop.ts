/** What one writes without a library: a loop a tensor that does the whole update. In doubles, since that is what V8 computes in fastest. */
import { fillGradient, fillParameters, type Problem } from "../problem.ts";
import { constantsOf, type StepConstants } from "./constants.ts";
import type { Contender, Entry } from "./contender.ts";

export const jsLoop: Entry = { name: "fused JS loop", threads: 1, make: makeJsLoop };

function makeJsLoop({ optimizer, tensors }: Problem): Contender {
  const tensorsOf = tensors.map(({ size }, i) => {
    const [p, g] = [new Float32Array(size), new Float32Array(size)];
    fillParameters(i, p);
    fillGradient(i, g);
    return { p, g, m: new Float32Array(size), v: new Float32Array(size) };
  });
  let count = 0;
  return {
    step() {
      const constants = constantsOf(optimizer, ++count);
      for (const { p, g, m, v } of tensorsOf) update(p, g, m, v, constants);
    },
    parameters: () => tensorsOf.map(({ p }) => p),
    dispose: () => tensorsOf.splice(0),
  };
}

function update(p: Float32Array, g: Float32Array, m: Float32Array, v: Float32Array, c: StepConstants): void {
  const { decay, oneMinusBeta1, beta2, oneMinusBeta2, stepSize, rootScale, eps } = c;
  for (let i = 0; i < p.length; i++) {
    const gi = g[i] as number;
    const mi = (m[i] as number) + (gi - (m[i] as number)) * oneMinusBeta1;
    const vi = (v[i] as number) * beta2 + gi * gi * oneMinusBeta2;
    m[i] = mi;
    v[i] = vi;
    p[i] = (p[i] as number) * decay - (stepSize * mi) / (Math.sqrt(vi) * rootScale + eps);
  }
}
