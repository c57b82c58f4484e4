/** Bytes by tensor: what has to move once, and what is moved again. */
import type { Access, TensorBytes } from "../traffic.ts";
import { type Child, h, panel } from "./dom.ts";
import { bytes, times } from "./format.ts";
import type { Model } from "./model.ts";

const PARTS = [
  { name: "read", label: "read", of: ({ kind, isIdeal }: Access) => isIdeal && kind === "read" },
  { name: "write", label: "written", of: ({ kind, isIdeal }: Access) => isIdeal && kind === "write" },
  { name: "read again", label: "read again", of: ({ kind, isIdeal }: Access) => !isIdeal && kind === "read" },
  {
    name: "write again",
    label: "written besides",
    of: ({ kind, isIdeal }: Access) => !isIdeal && kind === "write",
  },
] as const;

export function bytesPanel(model: Model): HTMLElement {
  const { title, bytes: tensors } = model.data;
  const classes = [...new Set(tensors.map(({ className }) => className))];
  return panel(
    title === "step" ? "Bytes a step, by tensor" : "Bytes a micro-step, by tensor",
    legend(),
    h(
      "div",
      { class: "bytes" },
      row("", ["moved", "at least", ""], undefined, 0, "head"),
      classes.map((name) =>
        ofClass(
          name,
          tensors.filter(({ className }) => className === name),
        ),
      ),
      classes.length > 1 && ofAll(classes, tensors),
    ),
  );
}

function legend(): Child {
  return h(
    "span",
    { class: "legend" },
    PARTS.map(({ name, label }) => h("span", {}, h("i", { class: `part ${name}` }), label)),
  );
}

function ofClass(name: string, tensors: readonly TensorBytes[]): Child {
  const longest = Math.max(...tensors.map(({ accesses }) => total(accesses)));
  const all = tensors.flatMap(({ accesses }) => accesses);
  return [
    row(name, numbers(all), undefined, 0, "class"),
    tensors.map(({ tensor, accesses }) => row(tensor, numbers(accesses), accesses, longest, "")),
  ];
}

function ofAll(classes: readonly string[], tensors: readonly TensorBytes[]): Child {
  const of = (name: string) =>
    tensors.filter(({ className }) => className === name).flatMap(({ accesses }) => accesses);
  const all = tensors.flatMap(({ accesses }) => accesses);
  const longest = Math.max(...classes.map((name) => total(of(name))));
  return [
    row("all classes", numbers(all), undefined, 0, "class"),
    classes.map((name) => row(name, numbers(of(name)), of(name), longest, "")),
  ];
}

function total(accesses: readonly Access[]): number {
  return accesses.reduce((sum, access) => sum + access.bytes, 0);
}

function numbers(accesses: readonly Access[]): string[] {
  const [moved, ideal] = [total(accesses), total(accesses.filter(({ isIdeal }) => isIdeal))];
  return [bytes(moved), bytes(ideal), times(moved, ideal)];
}

/** Bars of one class share a scale: `longest` bytes are the whole width. */
function row(
  name: string,
  figures: readonly string[],
  accesses: readonly Access[] | undefined,
  longest: number,
  kind: string,
): HTMLElement {
  const parts = PARTS.map((part) => ({ ...part, bytes: total(accesses?.filter(part.of) ?? []) }));
  return h(
    "div",
    { class: `row ${kind}` },
    h("span", { class: "tensor", title: name }, name),
    h(
      "span",
      { class: "bar" },
      parts
        .filter((part) => part.bytes > 0)
        .map((part) =>
          h("i", {
            class: `part ${part.name}`,
            title: `${name}: ${bytes(part.bytes)} ${part.label}`,
            "--share": part.bytes / longest,
          }),
        ),
    ),
    figures.map((figure) => h("span", { class: "number" }, figure)),
  );
}
