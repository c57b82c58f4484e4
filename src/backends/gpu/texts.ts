import type { ClassLayout, PhaseText, PhaseWork } from "../backend.ts";

type Emit = (work: PhaseWork, layouts: readonly ClassLayout[]) => string;

/** The texts of one phase: its programs, where it has some, then its kernels. */
export function textsOf(
  work: PhaseWork,
  layouts: readonly ClassLayout[],
  { emitKernels, emitPrograms }: { readonly emitKernels: Emit; readonly emitPrograms: Emit },
): PhaseText[] {
  const { phase, kernels, programs } = work;
  const texts: PhaseText[] = [];
  if (programs) texts.push({ name: "programs", phase, text: emitPrograms(work, layouts), classes: [] });
  if (kernels.length > 0)
    texts.push({
      name: kernels.map(({ name }) => name).join(", "),
      phase,
      text: emitKernels(work, layouts),
      classes: kernels.map((kernel) => layouts.findIndex(({ name }) => name === kernel.name)),
    });
  return texts;
}
