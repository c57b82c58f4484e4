/** Lines of WGSL. */

/** A line with its IR beside it. Where that came from is no part of a text: texts are keys. */
export function note(line: string, ir: string): string {
  return `${line.padEnd(70)} // ${ir}`;
}

/** Declarations of those variables that later lines name, in order. */
export function declareUsed(
  candidates: readonly (readonly [name: string, text: string])[],
  lines: readonly string[],
): string[] {
  const used: string[] = [];
  for (const [name, text] of [...candidates].reverse())
    if (new RegExp(`\\b${name}\\b`).test([...used, ...lines].join("\n")))
      used.unshift(`let ${name} = ${text};`);
  return used;
}
