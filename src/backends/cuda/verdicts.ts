/** Whether the device committed each step: asked in the step's own stream, heard later and in order, never waited for. */
export class Verdicts {
  #heard: Promise<void> = Promise.resolve();

  /** `flag`: a copy of a double that is 0 where the step was given up. */
  ask(flag: Promise<ArrayBuffer>, hear: (committed: boolean) => void): void {
    flag.catch(() => {}); // whoever settles hears of it
    this.#heard = this.#heard.then(async () => {
      const [committed] = new Float64Array(await flag);
      hear(committed !== 0);
    });
    this.#heard.catch(() => {});
  }

  settled(): Promise<void> {
    return this.#heard;
  }
}
