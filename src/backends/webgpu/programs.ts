import type { ClassLayout, PhaseWork } from "../backend.ts";
export function emitPrograms(_work: PhaseWork, _layouts: readonly ClassLayout[]): string {
  throw new Error("not yet");
}
