/** Alone in its file, so that who only looks for it need not load the compiler. */
export const DIRECTIVE = "use stepjit";
