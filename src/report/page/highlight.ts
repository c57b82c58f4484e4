/** Kernel texts in colour, line by line. */
import { refractor } from "refractor/core";
import cpp from "refractor/cpp";
import wasm from "refractor/wasm";
import wgsl from "refractor/wgsl";
import type { Language } from "../lines.ts";
import { h } from "./dom.ts";

for (const language of [wasm, wgsl, cpp]) refractor.register(language);

/** The grammar is older than SIMD and ends names at their dots: words are what follows a parenthesis, names are told first. */
const { comment, string, number, punctuation } = refractor.languages.wasm as Grammar;
refractor.languages.wasm = {
  comment,
  string,
  variable: /\$[\w.']+/,
  keyword: /(?<=\()[a-z][\w.]*/,
  builtin: /\b(?:[if](?:32|64)|v128|[if]\d+x\d+|shared)\b/,
  attribute: /\b(?:offset|align)(?==)/,
  number,
  punctuation,
} as Grammar;

type Grammar = (typeof refractor.languages)[string];
type Tree = ReturnType<typeof refractor.highlight>["children"][number];

/** The nodes of each line: a token that goes over several is cut. */
export function highlightLines(text: string, language: Language): Node[][] {
  if (language === "plain") return text.split("\n").map((line) => [document.createTextNode(line)]);
  const lines: Node[][] = [[]];
  const walk = (tree: Tree, token: string) => {
    if (tree.type === "element") for (const child of tree.children) walk(child as Tree, tokenOf(tree, token));
    if (tree.type !== "text") return;
    tree.value.split("\n").forEach((part, index) => {
      if (index > 0) lines.push([]);
      if (part) lines.at(-1)?.push(token ? h("span", { class: token }, part) : document.createTextNode(part));
    });
  };
  for (const child of refractor.highlight(text, language).children) walk(child, "");
  return lines;
}

/** The grammars' many names come down to a few that the style sheet colours. */
const COLOURS: Readonly<Record<string, string>> = {
  comment: "t-comment",
  string: "t-string",
  number: "t-number",
  boolean: "t-number",
  keyword: "t-word",
  attribute: "t-word",
  attributes: "t-word",
  annotation: "t-word",
  builtin: "t-type",
  "class-name": "t-type",
  function: "t-function",
  "function-calls": "t-function",
  variable: "t-name",
  punctuation: "t-mark",
  operator: "t-mark",
};

function tokenOf({ properties }: Extract<Tree, { type: "element" }>, outer: string): string {
  const names = Array.isArray(properties.className) ? properties.className.map(String) : [];
  return names.map((name) => COLOURS[name]).find((colour) => colour !== undefined) ?? outer;
}
