/** One file for Node: marked functions rewritten, types erased, a source map inside. */
import { basename } from "node:path";
import remapping, { type SourceMapInput } from "@jridgewell/remapping";
import { ts } from "ts-morph";
import { displayPath, positionAt } from "./position.ts";
import { transform } from "./transform.ts";

export function compile(code: string, file: string): string {
  const marked = transform(code, file);
  const text = marked?.code ?? code;
  if (/\.m?ts$/.test(file)) return eraseTypes(text, file, marked?.map);
  return marked ? withMap(text, marked.map, file) : text;
}

function eraseTypes(text: string, file: string, map: object | undefined): string {
  const erased = ts.transpileModule(text, {
    fileName: file,
    reportDiagnostics: true,
    compilerOptions: {
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.ESNext,
      sourceMap: true,
      inlineSources: true,
      verbatimModuleSyntax: true,
    },
  });
  const [problem] = erased.diagnostics ?? [];
  if (problem) throw new SyntaxError(describe(problem));
  const maps = [erased.sourceMapText, map].filter((each) => each !== undefined);
  return withMap(
    erased.outputText,
    remapping(maps as SourceMapInput[], () => null),
    file,
  );
}

function describe({ file, start = 0, messageText }: ts.Diagnostic): string {
  const text = ts.flattenDiagnosticMessageText(messageText, "\n");
  return file ? `${positionAt(file, displayPath(file.fileName), start)}: ${text}` : text;
}

/** The source's name stands without its folder: what is cached holds wherever the file lies. */
function withMap(text: string, map: object, file: string): string {
  const own = JSON.stringify({ ...map, file: basename(file), sources: [basename(file)] });
  const comment = `//# sourceMappingURL=data:application/json;base64,${Buffer.from(own).toString("base64")}`;
  return `${text.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "")}\n${comment}\n`;
}
