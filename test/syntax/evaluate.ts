import * as ops from "../../src/trace/ops.ts";
import { transform } from "../../src/trace/syntax/transform.ts";

/** The file that tests transform: it lies in no package, so positions begin with its bare name. */
export const FILE = "/f.js";

/** `function f(a, b, c, o)` with this body, marked; the text of its body after the transform, positions written `p`. */
export function rewriteBody(body: string): string {
  const { code } = transformed(`function f(a, b, c, o) { "use stepjit"; ${body} }`);
  const text = code.replaceAll(/"f\.js:\d+:\d+"/g, "p").replaceAll(/\$(?=[a-z])/g, "");
  return text.slice(text.indexOf("{", text.indexOf("function f")) + 1, text.lastIndexOf("}")).trim();
}

export function transformed(code: string, file = FILE) {
  const result = transform(code, file);
  if (!result) throw new Error("not marked");
  return result;
}

type Run = (...args: unknown[]) => unknown;

/** The function `f(parameters)` as it stands. */
export function plainFunction(parameters: string, body: string): Run {
  return new Function(`return function f(${parameters}) { ${body} }`)() as Run;
}

/** The same function, marked and transformed, with the real helpers. */
export function transformedFunction(parameters: string, body: string): Run {
  const { code } = transformed(`return_(function f(${parameters}) { "use stepjit"; ${body} })`);
  const bound = code
    .replace(/import \{(.*?)\} from "stepjit\/ops";/, (_, names: string) => bind(names))
    .replace("return_(", "return (");
  return new Function("ops", bound)(ops) as Run;
}

function bind(names: string): string {
  return `const {${names.replaceAll(" as ", ": ")}} = ops;`;
}
