/** What a stream is given, as data: it is enqueued at once, or listed for a graph. */
import type { Address, Kernel } from "./device.ts";
import type { Slot } from "./pinned.ts";

export type Work =
  /** `bytes` are copied when they are enqueued. */
  | { readonly kind: "upload"; readonly to: Address; readonly bytes: Uint8Array }
  | { readonly kind: "copy"; readonly to: Address; readonly from: Address; readonly bytes: number }
  | { readonly kind: "fill"; readonly to: Address; readonly word: number; readonly words: number }
  | {
      readonly kind: "launch";
      readonly kernel: Kernel;
      readonly grid: number;
      readonly parameter: Uint8Array;
    }
  | {
      readonly kind: "download";
      readonly from: Address;
      readonly bytes: number;
      /** Is told where the bytes will be, once the slot's event is reached. */
      readonly take: (slot: Slot) => void;
      /** Is told why there will be none. */
      readonly lose: (error: unknown) => void;
    };

/** The same for work that differs in what is uploaded only. */
export function shapeOf(work: Work): string {
  switch (work.kind) {
    case "upload":
      return `upload ${work.to} ${work.bytes.length}`;
    case "copy":
      return `copy ${work.to} ${work.from} ${work.bytes}`;
    case "fill":
      return `fill ${work.to} ${work.word} ${work.words}`;
    case "launch":
      return `launch ${work.kernel.handle} ${work.grid} ${Buffer.from(work.parameter).toString("hex")}`;
    case "download":
      return `download ${work.from} ${work.bytes}`;
  }
}
