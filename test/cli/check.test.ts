import { writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fileOf, freshFile, run } from "./support.ts";

describe("check", () => {
  test("finds every place that cannot be traced, and says what to write", async () => {
    const { code, out } = await run("check", fileOf("branches.ts"), fileOf("heavy-ball.ts"));
    expect(code).toBe(1);
    expect(out.replaceAll(fileOf(""), "")).toMatchInlineSnapshot(`
      "test/cli/files/branches.ts:8:9: \`if\` on a traced value: the step cannot branch on it
        8 |     if (grad > 0) return param;
          |         ^^^^^^^^
        use \`mask ? a : b\`: both sides are computed and selected element by element; or branch on a flag.

      test/cli/files/branches.ts:9:32: a bitwise operator on a value that is, or may be, traced: its bits are known only when the step runs
        9 |     return param - hyper.lr * (grad | 0);
          |                                ^^^^
        of masks use \`&&\`, \`||\`, \`!==\`; of numbers \`*\`, \`/\`, \`floor\` and \`2 ** n\`.

      branches.ts: 1 function marked "use stepjit", 2 places that cannot be traced

      heavy-ball.ts: 1 function marked "use stepjit", all can be traced"
    `);
  });

  test("prints JSON", async () => {
    const { code, out } = await run("check", "--json", fileOf("branches.ts"));
    expect(code).toBe(1);
    const [{ marked, problems }] = JSON.parse(out);
    expect(marked).toBe(1);
    expect(problems).toMatchObject([
      { file: "test/cli/files/branches.ts", line: 8, column: 9 },
      { line: 9, column: 32 },
    ]);
  });

  test("is content with a file that can be traced, and one with nothing marked", async () => {
    expect(await run("check", fileOf("heavy-ball.ts"))).toMatchObject({ code: 0 });
    const { code, out } = await run("check", fileOf("model.json"));
    expect(code).toBe(0);
    expect(out).toContain('0 functions marked "use stepjit"');
  });

  test("refuses a file that is not there, or is not even TypeScript, with 2", async () => {
    expect(await run("check", "none.ts")).toMatchObject({
      code: 2,
      err: expect.stringContaining("none.ts cannot be read"),
    });
    const unfinished = freshFile("unfinished.ts");
    writeFileSync(unfinished, 'function unfinished(x: number) {\n  "use stepjit";\n  return x * ;\n}\n');
    expect(await run("check", unfinished)).toMatchObject({
      code: 2,
      err: expect.stringContaining("unfinished.ts:3:14: Expression expected."),
    });
    expect(await run("check")).toMatchObject({
      code: 2,
      err: expect.stringContaining("missing required argument"),
    });
  });
});
