/** What the compiler made of the optimizer, one text at a time. */
import type { Step } from "stepjit";
import { element } from "./element.ts";
import { highlight } from "./highlight.ts";

const STAGES: Readonly<Record<string, (step: Step) => string>> = {
  Summary: (step) => String(step.explain()),
  "Kernel text": (step) => step.dump("text"),
  "Launch plan": (step) => step.dump("plan"),
};

export class Texts {
  #step: Step | undefined;
  #chosen = "Summary";

  constructor() {
    for (const stage of Object.keys(STAGES)) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: stage });
      button.addEventListener("click", () => {
        this.#chosen = stage;
        this.#show();
      });
      element("stages").append(button);
    }
    this.#show();
  }

  show(step: Step | undefined): void {
    this.#step = step;
    this.#show();
  }

  #show(): void {
    for (const button of element("stages").children)
      button.setAttribute("aria-pressed", String(button.textContent === this.#chosen));
    const text = this.#step ? (STAGES[this.#chosen] as (step: Step) => string)(this.#step) : "";
    element("text").replaceChildren(...highlight(text));
  }
}
