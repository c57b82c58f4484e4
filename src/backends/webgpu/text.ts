/** Lines of WGSL. */

/** A line with its IR beside it, and where that came from. */
export function note(line: string, ir: string, source?: string): string {
  return `${line.padEnd(70)} // ${ir}${source === undefined ? "" : `  # ${source}`}`;
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
