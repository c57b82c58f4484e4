/** What is marked: functions and modules that open with the directive. */
import { ts } from "ts-morph";
import { DIRECTIVE } from "./directive.ts";

/** Marked code: a function, or the whole file. Regions do not overlap; a directive inside a marked function adds nothing. */
export type Region = ts.SourceFile | ts.FunctionLikeDeclaration;

export function findRegions(source: ts.SourceFile): { regions: Region[]; directives: ts.Statement[] } {
  const regions: Region[] = [];
  const directives: ts.Statement[] = [];
  const visit = (node: ts.Node, marked: boolean): void => {
    const directive = directiveOf(node);
    if (directive) directives.push(directive);
    if (directive && !marked) regions.push(node as Region);
    node.forEachChild((child) => visit(child, marked || directive !== undefined));
  };
  visit(source, false);
  return { regions, directives };
}

function directiveOf(node: ts.Node): ts.Statement | undefined {
  return prologue(node).find((statement) => directiveText(statement) === DIRECTIVE);
}

/** The directives that a file or a function opens with. */
export function prologue(node: ts.Node): ts.Statement[] {
  const statements = statementsOf(node);
  const end = statements.findIndex((statement) => directiveText(statement) === undefined);
  return statements.slice(0, end === -1 ? statements.length : end);
}

function statementsOf(node: ts.Node): readonly ts.Statement[] {
  if (ts.isSourceFile(node)) return node.statements;
  if (ts.isFunctionLike(node) && "body" in node && node.body && ts.isBlock(node.body as ts.Node))
    return (node.body as ts.Block).statements;
  return [];
}

function directiveText(statement: ts.Statement): string | undefined {
  return ts.isExpressionStatement(statement) && ts.isStringLiteral(statement.expression)
    ? statement.expression.text
    : undefined;
}
