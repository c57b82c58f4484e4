/** The page of a report: reads its data, and shows one view at a time. */
import type { ReportData } from "../data.ts";
import { h } from "./dom.ts";
import { eventsView } from "./events.ts";
import { GraphView } from "./graph/view.ts";
import { header } from "./header.ts";
import { kernelsView } from "./kernels.ts";
import { Model } from "./model.ts";
import { overview } from "./overview.ts";
import { State } from "./state.ts";

const data: ReportData = JSON.parse(document.getElementById("report")?.textContent ?? "");
const models = data.modules.map((module) => new Model(module));
const state = new State(models);

const show = (name: ViewName) => {
  location.hash = name;
};

/** Each is made when first looked at. */
const VIEWS = {
  overview: () =>
    overview(data, models, (module, func) => {
      state.openModule(module);
      state.set({ stage: state.model.last, func });
      show("graph");
    }),
  graph: () => new GraphView(state, data.sources).element,
  kernels: () =>
    kernelsView(models, (module, place) => {
      state.openModule(module);
      state.goTo(state.model.last, place);
      show("graph");
    }),
  events: () => eventsView(data),
} as const;

type ViewName = keyof typeof VIEWS;

const main = h("main");
const links = (Object.keys(VIEWS) as ViewName[]).map((name) => h("a", { href: `#${name}` }, name));
const made = new Map<ViewName, HTMLElement>();

function open(): void {
  const wanted = location.hash.slice(1);
  const name = Object.hasOwn(VIEWS, wanted) ? (wanted as ViewName) : "overview";
  const view = made.get(name) ?? VIEWS[name]();
  made.set(name, view);
  for (const link of links)
    if (link.textContent === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  document.body.dataset.view = name;
  main.replaceChildren(view);
  scrollTo(0, 0);
  view.dispatchEvent(new Event("shown"));
}

document.title = `${data.explanation.optimizer} on ${data.explanation.backend} – stepjit report`;
document.body.append(header(data), h("nav", { class: "views", "aria-label": "views" }, links), main);
addEventListener("hashchange", open);
open();
document.body.dataset.ready = "";
