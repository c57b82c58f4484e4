/** What a step says while it works, one readable line each: to stderr in Node, to the console in a browser. */
import { StepjitError } from "../error.ts";

/** What there is to be told, and what each line is about. */
export const LOG_TOPICS = {
  events: "a trace, a kernel compile or a plan, and why",
  passes: "what a pass made of a module",
  kernels: "a kernel of a plan, compiled now or known",
  plan: "what is stepped, and in how many launches",
  perf: "the time of a step and the bytes that it moved",
} as const;

/** What can be logged: `events`, `passes`, `kernels`, `plan`, `perf`. */
export type LogTopic = keyof typeof LOG_TOPICS;

export class Log {
  readonly #name: string;
  readonly #topics: ReadonlySet<string>;

  /** `name`: of the optimizer. */
  constructor(name: string, topics: readonly LogTopic[]) {
    this.#name = name;
    this.#topics = new Set(topics);
  }

  /** `line` is made only where somebody wants it. */
  say(topic: LogTopic, line: () => string): void {
    if (this.#topics.has(topic)) write(`stepjit ${topic}: ${this.#name}, ${line()}`);
  }
}

/** Who redirects stdout wants results there and no log. */
function write(line: string): void {
  if (typeof process === "undefined") console.info(line);
  else console.error(line);
}

/** The topics of the environment variable STEPJIT_LOG, names with commas between. Throws `invalid-option` for one that there is not. */
export function topicsOfEnvironment(): LogTopic[] {
  const value = typeof process === "undefined" ? undefined : process.env?.STEPJIT_LOG;
  const names = (value ?? "").split(",").map((name) => name.trim());
  return names.filter((name) => name !== "").map(topicOf);
}

function topicOf(name: string): LogTopic {
  if (Object.hasOwn(LOG_TOPICS, name)) return name as LogTopic;
  throw new StepjitError(
    "invalid-option",
    `STEPJIT_LOG: no topic "${name}"; there are ${Object.keys(LOG_TOPICS).join(", ")}`,
  );
}
