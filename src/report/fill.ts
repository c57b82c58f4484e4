/** Puts a report's data into its page. */
import type { ReportData } from "./data.ts";

/** Stands in the page where the data belongs. */
export const PLACE = "{{report}}";

/**
 * Names of parameters and kernels are anyone's text. As JSON in a script element, which a browser does not run, all that can do harm is
 * what ends the element, so no `<` is left; and no line separator that JSON allows and JavaScript once did not.
 */
export function fillPage(page: string, data: ReportData): string {
  const json = JSON.stringify(data)
    .replaceAll("<", "\\u003c")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
  return page.replace(PLACE, () => json);
}
