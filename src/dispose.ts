/** What `using` calls. Engines that do not have the symbol yet get one that nobody calls. */
export const DISPOSE: typeof Symbol.dispose =
  Symbol.dispose ?? (Symbol.for("Symbol.dispose") as typeof Symbol.dispose);
