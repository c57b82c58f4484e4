/** The page of a report, with `{{report}}` where its data belong. */
export function buildPage(): Promise<string>;
