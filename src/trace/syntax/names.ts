/** Which declaration a name means. The checker runs over the one file, without a library: globals have no symbol. */
import { ts } from "ts-morph";
import { OPS_MODULE } from "./helpers.ts";

export interface ParsedFile {
  readonly source: ts.SourceFile;
  readonly names: Names;
}

/** Undefined if the file has syntax errors: the next tool reports them better. */
export function parseFile(code: string, file: string): ParsedFile | undefined {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true);
  const options: ts.CompilerOptions = { noLib: true, noResolve: true, types: [], allowJs: true };
  const host: ts.CompilerHost = {
    getSourceFile: (name) => (name === file ? source : undefined),
    getDefaultLibFileName: () => "",
    getCurrentDirectory: () => "",
    getCanonicalFileName: (name) => name,
    useCaseSensitiveFileNames: () => true,
    getNewLine: () => "\n",
    fileExists: (name) => name === file,
    readFile: () => undefined,
    writeFile: () => {},
  };
  const program = ts.createProgram({ rootNames: [file], options, host });
  if (program.getSyntacticDiagnostics(source).length > 0) return undefined;
  return { source, names: new Names(program.getTypeChecker()) };
}

export class Names {
  readonly #checker: ts.TypeChecker;
  readonly #symbols = new Map<ts.Identifier, ts.Symbol | undefined>();

  constructor(checker: ts.TypeChecker) {
    this.#checker = checker;
  }

  symbol(name: ts.Identifier): ts.Symbol | undefined {
    if (!this.#symbols.has(name)) this.#symbols.set(name, this.#resolve(name));
    return this.#symbols.get(name);
  }

  #resolve(name: ts.Identifier): ts.Symbol | undefined {
    return ts.isShorthandPropertyAssignment(name.parent)
      ? this.#checker.getShorthandAssignmentValueSymbol(name.parent)
      : this.#checker.getSymbolAtLocation(name);
  }

  declaration(name: ts.Identifier): ts.Declaration | undefined {
    return this.symbol(name)?.declarations?.[0];
  }

  /** `sqrt` for what `Math.sqrt` is, where Math is the global one. */
  mathMember(callee: ts.Expression): string | undefined {
    return this.globalMember(callee)?.match(/^Math\.(\w+)$/)?.[1];
  }

  /** `Math.sqrt`, `String`: a global or its member, by name. */
  globalMember(callee: ts.Expression): string | undefined {
    if (ts.isIdentifier(callee)) return this.declaration(callee) ? undefined : callee.text;
    if (!ts.isPropertyAccessExpression(callee) || !ts.isIdentifier(callee.expression)) return undefined;
    const object = this.globalMember(callee.expression);
    return object && `${object}.${callee.name.text}`;
  }

  /** The name under which `stepjit/ops` exports what is called here. */
  opsMember(callee: ts.Expression): string | undefined {
    if (ts.isIdentifier(callee)) {
      const declared = this.declaration(callee);
      return declared && ts.isImportSpecifier(declared) && isOpsImport(declared.parent.parent.parent)
        ? (declared.propertyName ?? declared.name).text
        : undefined;
    }
    if (!ts.isPropertyAccessExpression(callee) || !ts.isIdentifier(callee.expression)) return undefined;
    const declared = this.declaration(callee.expression);
    return declared && ts.isNamespaceImport(declared) && isOpsImport(declared.parent.parent)
      ? callee.name.text
      : undefined;
  }
}

function isOpsImport(node: ts.Node): boolean {
  return (
    ts.isImportDeclaration(node) &&
    ts.isStringLiteral(node.moduleSpecifier) &&
    node.moduleSpecifier.text === OPS_MODULE
  );
}
