/** Who hears of the events of every step in this process. */
import type { StepEvent } from "./events.ts";

/** `optimizer`: its name. */
export type Listener = (event: StepEvent, optimizer: string) => void;

const listeners = new Set<Listener>();

/** Call the result to hear no more. */
export function listen(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const tell: Listener = (event, optimizer) => {
  for (const listener of listeners) listener(event, optimizer);
};
