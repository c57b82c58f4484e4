/** All kernels, one under the other, each as the backend compiled it. */
import type { Place } from "../lineage.ts";
import { h, panel } from "./dom.ts";
import { counted, whole } from "./format.ts";
import type { Model } from "./model.ts";
import { copyButton, KernelText } from "./text.ts";

const LANGUAGES = { wasm: "WebAssembly text", wgsl: "WGSL", cpp: "CUDA C++", plain: "text" } as const;

export function kernelsView(
  models: readonly Model[],
  pick: (module: number, place: Place) => void,
): HTMLElement {
  const panels = models.flatMap((model, module) =>
    model.data.texts.map((data) => {
      const text = new KernelText(data, (place) => pick(module, place));
      const heading = `${data.name}, phase ${data.phase}${model.data.title === "step" ? "" : `, ${model.data.title}`}`;
      const size = `${LANGUAGES[data.language]}, ${counted(data.text.split("\n").length, "line")}, ${whole(data.text.length)} characters`;
      const element = panel(heading, [size, " ", copyButton(() => data.text)], text.element);
      element.classList.add("kernel");
      return { heading, element };
    }),
  );
  return h(
    "div",
    { class: "stack" },
    h(
      "nav",
      { class: "jumps", "aria-label": "kernels" },
      panels.map(({ heading, element }) =>
        h(
          "button",
          { type: "button", onclick: () => element.scrollIntoView({ behavior: "smooth" }) },
          heading,
        ),
      ),
    ),
    panels.map(({ element }) => element),
  );
}
