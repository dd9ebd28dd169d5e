/**
 * What a promise comes to, if it does within so many ms. Time in which nothing else could run, as while a file
 * is compiled, does not make it late.
 *
 * @param told what is thrown when the time is over
 */
export async function within<T>(
  ms: number,
  promise: Promise<T>,
  told = (cause: Error): Error => cause,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const over = (): void => reject(told(new Error(`It did not answer within ${ms} ms.`)));
    timer = setTimeout(() => (timer = setTimeout(over)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
