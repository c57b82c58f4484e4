import { StepjitError } from "../error.ts";
import { Scalar, show } from "./hyper.ts";

/** What a `GradScaler` takes. */
export interface GradScalerOptions {
  /** The first scale. Default 65536. */
  readonly initScale?: number;
  /** What the scale is multiplied by after `growthInterval` steps in a row with finite gradients. Default 2. */
  readonly growthFactor?: number;
  /** What the scale is multiplied by when a gradient was not finite. Default 0.5. */
  readonly backoffFactor?: number;
  /** Default 2000. */
  readonly growthInterval?: number;
}

/** A scaler's state, with torch's keys. */
export interface GradScalerState {
  /** What the loss is multiplied by. */
  readonly scale: number;
  /** `growthFactor` of the options. */
  readonly growth_factor: number;
  /** `backoffFactor` of the options. */
  readonly backoff_factor: number;
  /** `growthInterval` of the options, in steps. */
  readonly growth_interval: number;
  /** Steps in a row with finite gradients since the scale last changed. */
  readonly _growth_tracker: number;
}

const RULES = {
  initScale: { allowed: "a finite number above 0", fits: (x: number) => x > 0 && x < Infinity },
  growthFactor: { allowed: "a finite number above 1", fits: (x: number) => x > 1 && x < Infinity },
  backoffFactor: { allowed: "a number between 0 and 1, both excluded", fits: (x: number) => x > 0 && x < 1 },
  growthInterval: {
    allowed: "a whole number, at least 1",
    fits: (x: number) => Number.isInteger(x) && x >= 1,
  },
  tracker: { allowed: "a whole number, at least 0", fits: (x: number) => Number.isInteger(x) && x >= 0 },
} as const;

/**
 * Dynamic loss scaling for gradients of low precision. Multiply the loss by `scaler.scale.value` and give the scaler to `compileStep`:
 * the step unscales the gradients, is skipped whole where one of them is not finite, and then lowers or raises the scale.
 *
 *     const scaler = new GradScaler();
 *     const step = compileStep(optimizer, { scaler });
 *
 * One scaler serves one step. Source: torch/amp/grad_scaler.py; the scale is a float32 there, and here.
 */
export class GradScaler {
  /** What the loss is to be multiplied by, now. */
  readonly scale: Scalar;
  #growthFactor: number;
  #backoffFactor: number;
  #growthInterval: number;
  /** Steps in a row with finite gradients since the scale last changed. */
  #growthTracker = 0;

  /** Throws `invalid-option`. */
  constructor(options: GradScalerOptions = {}) {
    const {
      initScale = 65536,
      growthFactor = 2,
      backoffFactor = 0.5,
      growthInterval = 2000,
      ...rest
    } = options;
    const [stray] = Object.keys(rest);
    if (stray !== undefined)
      throw new StepjitError(
        "invalid-option",
        `GradScaler: no option ${show(stray)}; there are initScale, growthFactor, backoffFactor, growthInterval`,
      );
    const check = (name: keyof typeof RULES, value: unknown) => checked(name, value, name, "invalid-option");
    this.scale = new Scalar(check("initScale", initScale));
    this.#growthFactor = check("growthFactor", growthFactor);
    this.#backoffFactor = check("backoffFactor", backoffFactor);
    this.#growthInterval = check("growthInterval", growthInterval);
  }

  /** The scaler's state as torch saves it. */
  stateDict(): GradScalerState {
    return {
      scale: this.scale.value,
      growth_factor: this.#growthFactor,
      backoff_factor: this.#backoffFactor,
      growth_interval: this.#growthInterval,
      _growth_tracker: this.#growthTracker,
    };
  }

  /** Takes a state dict back, torch's too. Everything is checked before anything changes. Throws `invalid-state`. */
  loadStateDict(saved: GradScalerState): void {
    const read = (key: keyof GradScalerState, rule: keyof typeof RULES) =>
      checked(rule, (saved as Partial<GradScalerState> | null)?.[key], key, "invalid-state");
    const scale = read("scale", "initScale");
    const growthFactor = read("growth_factor", "growthFactor");
    const backoffFactor = read("backoff_factor", "backoffFactor");
    const growthInterval = read("growth_interval", "growthInterval");
    this.#growthTracker = read("_growth_tracker", "tracker");
    this.scale.value = scale;
    this.#growthFactor = growthFactor;
    this.#backoffFactor = backoffFactor;
    this.#growthInterval = growthInterval;
  }

  /**
   * @internal After a step. Of several steps that were launched under one scale, and were all skipped, only the first lowers it:
   * `scaleThen` is the scale that the step had.
   */
  update(foundInf: boolean, scaleThen = this.scale.value): void {
    if (foundInf && scaleThen !== this.scale.value) return;
    if (!foundInf && ++this.#growthTracker < this.#growthInterval) return;
    this.#growthTracker = 0;
    const scale = Math.fround(this.scale.value * (foundInf ? this.#backoffFactor : this.#growthFactor));
    if (Number.isFinite(scale)) this.scale.value = scale;
  }
}

function checked(
  rule: keyof typeof RULES,
  value: unknown,
  name: string,
  code: "invalid-option" | "invalid-state",
): number {
  const { allowed, fits } = RULES[rule];
  if (typeof value === "number" && fits(value)) return value;
  throw new StepjitError(code, `GradScaler: ${name} is ${allowed}, got ${show(value)}`);
}
