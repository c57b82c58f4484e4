/** Small questions about the syntax tree that more than one part of the transform asks. */
import { ts } from "ts-morph";

const { SyntaxKind } = ts;

/** Without parentheses and type syntax. */
export function bare(node: ts.Expression): ts.Expression {
  return ts.isParenthesizedExpression(node) ||
    ts.isAsExpression(node) ||
    ts.isSatisfiesExpression(node) ||
    ts.isNonNullExpression(node) ||
    ts.isTypeAssertionExpression(node)
    ? bare(node.expression)
    : node;
}

const OUTSIDE: ReadonlySet<ts.SyntaxKind> = new Set([
  SyntaxKind.InterfaceDeclaration,
  SyntaxKind.TypeAliasDeclaration,
  SyntaxKind.EnumDeclaration,
  SyntaxKind.Decorator,
  SyntaxKind.ImportDeclaration,
]);

/** Code that never runs, or that has to stay constant: types, enums, decorators, imports. */
export function isOutside(node: ts.Node): boolean {
  if (OUTSIDE.has(node.kind)) return true;
  return ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node);
}

/** Certainly a string: `+` with one of these concatenates. */
export function isString(expression: ts.Expression): boolean {
  const node = bare(expression);
  return (
    ts.isStringLiteralLike(node) ||
    ts.isTemplateExpression(node) ||
    ts.isTypeOfExpression(node) ||
    (ts.isBinaryExpression(node) &&
      node.operatorToken.kind === SyntaxKind.PlusToken &&
      (isString(node.left) || isString(node.right)))
  );
}

/** Comparing with one of these asks what a value is, not how large: it stays plain. */
export function isIdentity(expression: ts.Expression): boolean {
  const node = bare(expression);
  return (
    isString(node) ||
    node.kind === SyntaxKind.NullKeyword ||
    (ts.isIdentifier(node) && node.text === "undefined")
  );
}

const EQUALITIES: ReadonlySet<ts.SyntaxKind> = new Set([
  SyntaxKind.EqualsEqualsToken,
  SyntaxKind.EqualsEqualsEqualsToken,
  SyntaxKind.ExclamationEqualsToken,
  SyntaxKind.ExclamationEqualsEqualsToken,
]);

export function isIdentityTest(node: ts.BinaryExpression): boolean {
  return EQUALITIES.has(node.operatorToken.kind) && (isIdentity(node.left) || isIdentity(node.right));
}

export function isAssignment(node: ts.Node): node is ts.AssignmentExpression<ts.AssignmentOperatorToken> {
  return (
    ts.isBinaryExpression(node) &&
    node.operatorToken.kind >= SyntaxKind.FirstAssignment &&
    node.operatorToken.kind <= SyntaxKind.LastAssignment
  );
}

export function isStep(node: ts.Node): node is ts.PrefixUnaryExpression | ts.PostfixUnaryExpression {
  return (
    (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) &&
    (node.operator === SyntaxKind.PlusPlusToken || node.operator === SyntaxKind.MinusMinusToken)
  );
}

/** The variable at the bottom of `a.b[c].d`. */
export function rootOf(target: ts.Expression): ts.Identifier | undefined {
  const node = bare(target);
  if (ts.isIdentifier(node)) return node;
  return ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)
    ? rootOf(node.expression)
    : undefined;
}

/** Whether evaluating it twice is the same as once. */
export function isRepeatable(expression: ts.Expression): boolean {
  const node = bare(expression);
  if (ts.isPropertyAccessExpression(node)) return isRepeatable(node.expression);
  if (ts.isElementAccessExpression(node))
    return isRepeatable(node.expression) && isRepeatable(node.argumentExpression);
  if (ts.isBinaryExpression(node))
    return !isAssignment(node) && isRepeatable(node.left) && isRepeatable(node.right);
  return (
    ts.isIdentifier(node) ||
    ts.isLiteralExpression(node) ||
    node.kind === SyntaxKind.ThisKeyword ||
    node.kind === SyntaxKind.SuperKeyword
  );
}

/** The `update` of an object literal: what defineOptimizer and defineTransform are given. */
export function isUpdate(node: ts.Node): node is ts.FunctionLikeDeclaration {
  if (ts.isMethodDeclaration(node)) return ts.isObjectLiteralExpression(node.parent) && isNamedUpdate(node);
  return (
    (ts.isArrowFunction(node) || ts.isFunctionExpression(node)) &&
    ts.isPropertyAssignment(node.parent) &&
    isNamedUpdate(node.parent)
  );
}

function isNamedUpdate(node: ts.MethodDeclaration | ts.PropertyAssignment): boolean {
  return ts.isIdentifier(node.name) && node.name.text === "update";
}
