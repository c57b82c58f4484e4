/**
 * Steps of which the device knows more than the host: numbers that it computed and keeps, and, where it decides that, whether they were
 * committed. The host goes on as if they all were, and hears later which were.
 */

/** What is carried out when a step's verdict is taken. */
type Close = (committed: boolean) => void;

export class Verdicts {
  /** Steps that were launched, and those after which the host has read back what the device keeps. */
  launched = 0;
  settled = 0;
  readonly #open: Close[] = [];
  readonly #heard: boolean[] = [];

  /** A step was launched; `close` where the device decides on it. */
  open(close?: Close): void {
    if (close) this.#open.push(close);
    this.launched++;
  }

  /** The device has decided on the oldest step that it was silent about. */
  hear(committed: boolean): void {
    this.#heard.push(committed);
  }

  /** Steps on which no verdict is missing. */
  get taken(): number {
    return this.launched - this.#open.length;
  }

  /** Whether the host knows all there is to know of this many steps. */
  hasSettled(steps: number): boolean {
    return this.settled >= steps && this.taken >= steps;
  }

  /**
   * Carries out what was heard. Called at the end of a step and while one waits for steps to finish, never in between: what a user
   * reads after a step, the loss scale above all, then stays what it is until the next one.
   */
  take(): void {
    while (this.#heard.length > 0) this.#open.shift()?.(this.#heard.shift() as boolean);
  }
}
