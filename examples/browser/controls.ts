/** What the visitor sets. The training loop looks here between turns. */
import { element } from "./element.ts";
import { CHOICES, type Choice } from "./optimizers.ts";

export class Controls {
  running = true;
  /** Asked for by the button, or by choosing another optimizer. */
  #restart = false;
  readonly #choice = element<HTMLSelectElement>("optimizer");
  readonly #amsgrad = element<HTMLInputElement>("amsgrad");
  readonly #exponent = element<HTMLInputElement>("exponent");

  constructor() {
    this.#choice.append(...CHOICES.map(({ label }) => new Option(label)));
    this.#choice.addEventListener("change", () => {
      this.#restart = true;
      this.#show();
    });
    this.#exponent.addEventListener("input", () => this.#show());
    element("run").addEventListener("click", () => {
      this.running = !this.running;
      this.#show();
    });
    element("reset").addEventListener("click", () => {
      this.#restart = true;
    });
    this.#show();
  }

  get choice(): Choice {
    return CHOICES[this.#choice.selectedIndex] as Choice;
  }

  get learningRate(): number {
    return 10 ** Number(this.#exponent.value);
  }

  /** Undefined where the optimizer has no such flag. */
  get amsgrad(): boolean | undefined {
    return this.choice.amsgrad && this.#amsgrad.checked;
  }

  /** Whether to begin anew; says so once. */
  takeRestart(): boolean {
    const restart = this.#restart;
    this.#restart = false;
    return restart;
  }

  #show(): void {
    element("run").textContent = this.running ? "Pause" : "Start";
    element("rate").textContent = this.learningRate.toPrecision(2);
    this.#amsgrad.disabled = !this.choice.amsgrad;
    if (!this.choice.amsgrad) this.#amsgrad.checked = false;
  }
}
