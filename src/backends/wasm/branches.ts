/**
 * Uniform branches: a select whose mask is the same for all elements becomes a branch, and what only one side needs is computed
 * there.
 *
 *     %5 = mul %4 %0                               (local.set $v8 (if (result v128) (local.get $v7)
 *     %6 = add %1 %5                                 (then
 *     %7 = broadcast scalar 1 (a mask)       ->        (local.set $v5 …)
 *     %8 = select %7 %6 %1                             (local.set $v6 …)
 *                                                      (local.get $v6))
 *                                                    (else (local.get $grad))))
 *
 * torch's `if (weight_decay != 0)` comes out as this. A branch that goes the same way every time is predicted: it took 13 % off an
 * Adam step without weight decay. It never pays for a mask that differs from element to element.
 */
import type { Func, Value, ValueId } from "../../ir/module.ts";

/** Where a value is computed: in the loop's body, or inside one side of a select. */
export type Home = "body" | `${ValueId} then` | `${ValueId} else`;

export interface Branches {
  /** Selects that branch. */
  readonly selects: ReadonlySet<ValueId>;
  /** Uniform masks that nothing but such selects read: kept as one i32. */
  readonly flags: ReadonlySet<ValueId>;
  /** Of every value. */
  readonly homes: readonly Home[];
}

interface Use {
  readonly user: ValueId;
  readonly operand: number;
}

/** `canSink` says which values may be computed inside a side: those that only compute. */
export function findBranches(
  kernel: Func,
  isUniform: (id: ValueId) => boolean,
  canSink: (id: ValueId) => boolean,
): Branches {
  const uses = usesOf(kernel);
  const isSelect = (id: ValueId) => kernel.values[id]?.op === "select";
  const onlyChooses = (id: ValueId) =>
    (uses[id] as Use[]).every(({ user, operand }) => isSelect(user) && operand === 0);
  const written = new Set(kernel.outputs.map(({ value }) => value));
  const ids = kernel.values.map((_, id) => id);
  const flags = new Set(
    ids.filter((id) => kernel.values[id]?.type.dtype === "bool" && isUniform(id) && onlyChooses(id)),
  );
  const selects = new Set(
    ids.filter((id) => isSelect(id) && flags.has(kernel.values[id]?.args[0] as ValueId)),
  );

  const homes: Home[] = ids.map(() => "body");
  const chainOf = (home: Home): Home[] =>
    home === "body" ? [home] : [home, ...chainOf(homes[Number.parseInt(home, 10)] as Home)];
  const common = (a: Home, b: Home): Home => {
    const chain = chainOf(b);
    return chainOf(a).find((home) => chain.includes(home)) as Home;
  };
  const homeOfUse = ({ user, operand }: Use): Home =>
    selects.has(user) && operand > 0 ? `${user} ${operand === 1 ? "then" : "else"}` : (homes[user] as Home);
  for (const id of ids.reverse())
    if (canSink(id) && !written.has(id) && uses[id]?.length)
      homes[id] = (uses[id] as Use[]).map(homeOfUse).reduce(common);
  return { selects, flags, homes };
}

function usesOf({ values }: Func): Use[][] {
  const uses: Use[][] = values.map(() => []);
  values.forEach(({ args }: Value, user) => {
    args.forEach((arg, operand) => {
      uses[arg]?.push({ user, operand });
    });
  });
  return uses;
}
