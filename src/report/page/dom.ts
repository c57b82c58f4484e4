/** Elements in one expression. Texts become text nodes, whatever they say: nothing here parses HTML. */
export type Child = Node | string | number | undefined | false | readonly Child[];

type Attributes = Readonly<Record<string, string | number | boolean | undefined | ((event: never) => void)>>;

export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return fill(document.createElement(tag), attributes, children);
}

export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[Tag] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Functions listen (`onclick`), custom properties style (`--share`), true is an attribute without a value. */
function fill<E extends HTMLElement | SVGElement>(
  element: E,
  attributes: Attributes,
  children: readonly Child[],
): E {
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === "function") element.addEventListener(name.slice(2), value as EventListener);
    else if (name.startsWith("--")) element.style.setProperty(name, String(value));
    else if (value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  element.append(...nodesOf(children));
  return element;
}

export function nodesOf(children: readonly Child[]): (Node | string)[] {
  return children.flatMap((child): (Node | string)[] => {
    if (child === undefined || child === false) return [];
    if (typeof child === "number") return [String(child)];
    return typeof child === "string" || child instanceof Node ? [child] : nodesOf(child);
  });
}

/** A panel with a heading. */
export function panel(title: string, note: Child, ...children: Child[]): HTMLElement {
  return h("section", { class: "panel" }, h("h2", {}, title, h("span", {}, note)), children);
}

/** A table; a column's alignment is its head's: those that start with `#` are numbers. */
export function table(heads: readonly string[], rows: readonly (readonly Child[])[]): HTMLElement {
  const classOf = (column: number) => (heads[column]?.startsWith("#") ? "number" : undefined);
  const cell = (tag: "td" | "th") => (child: Child, column: number) =>
    h(tag, { class: classOf(column) }, child);
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "table" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((head) => head.replace(/^#/, "")).map(cell("th")))),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map(cell("td")))),
      ),
    ),
  );
}
