/** The recorded cases of torch.optim. */
import { readFileSync } from "node:fs";
import { OPTIMIZERS } from "./subjects.ts";
import type { GoldenCase } from "./torch-case.ts";

const file = new URL("../golden/torch-2.14.1-optim.json", import.meta.url);
const all = (JSON.parse(readFileSync(file, "utf8")) as { cases: GoldenCase[] }).cases;

/** The cases of optimizers that exist here. */
export const GOLDEN_CASES = all.filter(({ optimizer }) => OPTIMIZERS.has(optimizer));
