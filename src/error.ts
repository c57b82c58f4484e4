/** What went wrong, for programs. The message says it for people. */
export type ErrorCode =
  | "invalid-hyperparameter"
  | "invalid-parameters"
  | "invalid-gradient"
  | "invalid-state"
  | "invalid-option"
  | "disposed"
  | "not-transformed"
  | "traced-value"
  | "unsupported"
  | "out-of-memory"
  | "device-memory"
  | "device-error"
  | "recompile"
  | "poisoned"
  | "ir";

/** The one error class of stepjit: `code` for programs, a message that says what was given and what is allowed. */
export class StepjitError extends Error {
  /** Always `StepjitError`. */
  override readonly name = "StepjitError";
  /** What went wrong, for programs. */
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
