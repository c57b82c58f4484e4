/** weightDecay ↔ weight_decay: our option names are camelCase, a state dict's are torch's. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
