/** The samples of a Markdown file: what CONTRIBUTING.md says about them, as code. */

/** One program: the samples of a section, or a file that a sample names. Lines are where they are in the document. */
export interface Sample {
  readonly title: string;
  /** `lion.test.ts`, where the first line of the sample is a comment with that name. */
  readonly file: string | undefined;
  readonly code: string;
  /** What each block is to print, in order; undefined where the document does not say. A block ends by printing `END`. */
  readonly prints: readonly (string | undefined)[];
}

/** A sample that is not run: it says so, and why, behind its language. */
export interface Unrun {
  readonly line: number;
  readonly why: string;
}

export const END = "\u0000";

interface Block {
  readonly section: string;
  /** `ts`, `text`, `before` … and what follows. */
  readonly kind: string;
  readonly rest: string;
  /** Of the first line between the fences, from 0. */
  readonly start: number;
  readonly lines: readonly string[];
}

export function samplesOf(markdown: string): { readonly samples: Sample[]; readonly unrun: Unrun[] } {
  const blocks = blocksOf(markdown.split("\n"));
  check(blocks);
  const isRun = ({ kind, rest }: Block) => kind === "before" || (isCode(kind) && rest === "");
  const files = blocks.filter((block) => isRun(block) && fileOf(block));
  const others = blocks.filter((block) => isRun(block) && !fileOf(block));
  const sections = [...new Set(others.map(({ section }) => section))].map((section) =>
    others.filter((block) => block.section === section),
  );
  return {
    samples: [...files.map((block) => [block]), ...sections].map((program) => sampleOf(program, blocks)),
    unrun: blocks
      .filter(({ kind, rest }) => isCode(kind) && rest !== "")
      .map(({ start, rest }) => ({ line: start, why: rest })),
  };
}

const isCode = (kind: string) => kind === "ts" || kind === "js";

function fileOf({ kind, lines }: Block): string | undefined {
  return kind === "before" ? undefined : /^\/\/ (\S+\.[jt]s)$/.exec(lines[0] ?? "")?.[1];
}

function sampleOf(program: readonly Block[], blocks: readonly Block[]): Sample {
  const [first] = program as [Block];
  const file = fileOf(first);
  const code: string[] = [];
  for (const { start, lines } of program) {
    while (code.length < start) code.push("");
    code.push(...lines);
    if (!file) code.push(`;console.log(${JSON.stringify(END)});`);
  }
  const prints = program.map((block) => {
    const next = blocks[blocks.indexOf(block) + 1];
    return next?.kind === "text" && next.section === block.section ? next.lines.join("\n") : undefined;
  });
  return { title: file ?? first.section, file, code: code.join("\n"), prints };
}

/** What a block may be; a text is what the sample before it prints. */
const KINDS = ["ts", "js", "sh", "text", "before"];

/** Throws where a block would silently be left alone. */
function check(blocks: readonly Block[]): void {
  blocks.forEach(({ kind, section, start }, index) => {
    const refuse = (message: string) => {
      throw new Error(`line ${start}: ${message}`);
    };
    if (!KINDS.includes(kind)) refuse(`a block is one of ${KINDS.join(", ")}, and not "${kind}"`);
    const previous = blocks[index - 1];
    const isPrinted = previous && isCode(previous.kind) && !fileOf(previous) && previous.section === section;
    if (kind === "text" && !isPrinted) refuse("a text stands behind the sample that prints it");
  });
}

/** Fenced blocks, and comments that begin with `<!-- before`, which a reader does not see. */
function blocksOf(lines: readonly string[]): Block[] {
  const blocks: Block[] = [];
  let section = "";
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string;
    section = /^#+ (.*)/.exec(line)?.[1] ?? section;
    const [, fence, kind = "", rest = ""] = /^(```|<!-- (?=before))(\w*) *(.*)$/.exec(line) ?? [];
    if (fence === undefined) continue;
    const start = at + 1;
    const end = lines.indexOf(fence === "```" ? "```" : "-->", start);
    if (end === -1) throw new Error(`line ${start}: a block has no end`);
    blocks.push({ section, kind, rest, start, lines: lines.slice(start, end) });
    at = end;
  }
  return blocks;
}
