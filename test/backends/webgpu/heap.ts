/** How many objects some work leaves on the heap. */
import { queryObjects } from "node:v8";

/** Of any kind: functions, promises and what a native module wraps are objects, too. */
export async function objectsLeft(work: () => Promise<void>): Promise<number> {
  const before = await objects();
  await work();
  return (await objects()) - before;
}

/** Counting collects garbage first; finalizers run in between. */
async function objects(): Promise<number> {
  let count = 0;
  for (let i = 0; i < 3; i++) {
    count = queryObjects(Object, { format: "count" });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return count;
}
