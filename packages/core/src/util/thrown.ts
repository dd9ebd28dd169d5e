/** What a thrown value says of itself. Anything can be thrown, also what cannot be made a text. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return 'a value that has no text was thrown';
  }
}
