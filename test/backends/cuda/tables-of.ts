/** Tables of a plan as `Plan` makes them, over parameters of one class a shape. */
import type { AxisTotal, ClassLayout, NumberTable, Pipeline, Tables } from "../../../src/backends/backend.ts";
import { type Dims, elementsOf, vectorDims } from "../../../src/ir/dims.ts";
import { chunkTable } from "../../../src/plan/chunks.ts";

export const VECTOR: ClassLayout = {
  name: "SGD f32",
  dtype: "f32",
  roles: ["param", "grad"],
  written: ["param"],
  view: "vector",
  totals: [],
  scalarTypes: ["f32", "f32"],
};

const SUM: AxisTotal = { name: "local0", extent: "[lead,row]", op: "reduce.sum", blocked: false };

/** Over rows and columns, with a total over them. */
export const MATRIX: ClassLayout = {
  ...VECTOR,
  name: "Adafactor f32",
  roles: ["param", "grad", "state.row"],
  view: "matrix",
  totals: [SUM],
  scalarTypes: ["f32"],
};

export const NO_NUMBERS: NumberTable = { gives: [], totals: [], records: [], hypers: [] };

interface Spec {
  readonly classes?: readonly ClassLayout[];
  /** Sizes of vectors, or of matrices. */
  readonly sizes: readonly (number | Dims)[];
  readonly groups?: number;
  readonly numbers?: Partial<NumberTable>;
  readonly phases: readonly {
    readonly kernel?: string;
    readonly programs?: string;
    readonly totals?: number;
  }[];
}

/** Vectors are of the first class, matrices of the second. */
export function tablesOf(
  { classes = [VECTOR, MATRIX], sizes, groups = 1, numbers, phases }: Spec,
  compile: (text: string) => Pipeline,
): Tables {
  const tensors = sizes.map((size, index) => {
    const dims = typeof size === "number" ? vectorDims(size) : size;
    const classIndex = typeof size === "number" ? 0 : 1;
    return { name: `p${index}`, classIndex, group: index % groups, elements: elementsOf(dims), dims };
  });
  const { chunks, spans } = chunkTable(
    tensors.map(({ dims, classIndex }) => ({ dims, view: (classes[classIndex] as ClassLayout).view })),
  );
  return {
    classes,
    tensors,
    groups,
    numbers: { ...NO_NUMBERS, ...numbers },
    chunks,
    spans,
    phases: phases.map(({ kernel, programs, totals = 0 }) => ({
      pipelines: classes.map(() => (kernel === undefined ? null : compile(kernel))),
      programs: programs === undefined ? null : compile(programs),
      totals,
    })),
  };
}
